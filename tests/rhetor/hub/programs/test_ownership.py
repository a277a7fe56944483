"""Who answers for the program of a peer."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.rhetor.hub.house import ME, house

from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.principal import Principal, agent_subject
from rhetor.hub.active import ProgramInstance
from rhetor.hub.catalog.programs import ProgramRow
from rhetor.hub.programs.ownership import is_own, person_behind

pytestmark = pytest.mark.anyio
BOX = Peer("box", PeerKind.TOOL, "stdio")


def instance(peer: str, owner: str) -> ProgramInstance:
    """Return a program of a peer that runs for its owner. Its process does not matter here."""
    entry = ProgramRow(f"h_{peer}", f"{peer}/{owner}", replace(BOX, name=peer), owner, "s_1", False, 0)
    unused: Any = None
    return ProgramInstance(entry, unused, unused)


@pytest.mark.parametrize(
    ("programs", "expected"),
    [
        ([], agent_subject("box")),
        ([("box", "me")], "me"),
        ([("box", agent_subject("inner")), ("inner", "me")], "me"),
        ([("box", "me"), ("box", agent_subject("inner")), ("inner", "me")], "me"),
        ([("box", "me"), ("box", "anna")], agent_subject("box")),
        ([("box", agent_subject("inner")), ("inner", "me"), ("inner", "anna")], agent_subject("box")),
        ([("box", agent_subject("inner")), ("inner", agent_subject("box"))], agent_subject("box")),
    ],
)
async def test_one_person_answers_for_a_program_or_nobody(
    programs: list[tuple[str, str]], expected: str
) -> None:
    async with house() as home:
        state = home.hub.state
        state.instances |= {each.entry.key: each for each in (instance(*program) for program in programs)}
        assert person_behind(state, agent_subject("box")) == expected
        assert person_behind(state, "anna") == "anna"
        # an administrator answers if nobody does
        assert is_own(state, ME, agent_subject("box")) is (expected in ("me", agent_subject("box")))
        assert is_own(state, Principal("somebody"), agent_subject("box")) is False
        state.instances.clear()
