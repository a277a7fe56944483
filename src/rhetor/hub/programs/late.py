"""Late text: what an agent says after the end of a turn. It becomes a part of that turn's answer, even if
other turns have ended or begun since.

The turn's end is in the log already and does not change. A later `output.partial` of the turn has the whole
answer, and history, search and exports use that one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rhetor.domain.event import OutputDelta, OutputPartial
from rhetor.domain.output import Late
from rhetor.errors import NotFound
from rhetor.hub.active import EndedTurn, ProgramInstance
from rhetor.hub.core.commits import commit_until_accepted, until_accepted
from rhetor.store.base import Draft, Spoken

if TYPE_CHECKING:
    from rhetor.hub.state import State

GATHER_SECONDS = 0.3  # an answer is written to the log again at most this often
_MESSAGES = 200  # how many messages back the turn may be
_ASSISTANT = "assistant"


def add_late(state: State, instance: ProgramInstance, late: Late, *, logged: bool) -> None:
    """Add late text to the answer of its turn, within `GATHER_SECONDS`.

    `logged`: the text itself is in the log of the program's session already.
    """

    def write() -> None:
        state.background.start(write_late(state, instance), f"late text of {instance.peer.name}")

    if not instance.late:
        asyncio.get_running_loop().call_later(GATHER_SECONDS, write)
    # the turn that runs now may be the last one by the time of writing
    instance.late.append((late, logged, instance.last_turn))


async def write_late(state: State, instance: ProgramInstance) -> None:
    """Write the late text that was gathered to the log. No effect if there is none."""
    found, instance.late = instance.late, []
    if not found:
        return
    unlogged = [Draft(OutputDelta(late.text, "unsolicited")) for late, logged, _ in found if not logged]
    if unlogged:
        await commit_until_accepted(state.store, instance.entry.session_id, unlogged)
    for ended, texts in _by_turn(instance, found).items():
        whole = await _with_late(state, ended, texts)
        if whole is not None:
            draft = Draft(OutputPartial(whole), ended.turn_id, ended.step)
            await commit_until_accepted(state.store, ended.stream, [draft])


def _by_turn(
    instance: ProgramInstance, found: Sequence[tuple[Late, bool, EndedTurn | None]]
) -> dict[EndedTurn, list[Late]]:
    texts: dict[EndedTurn, list[Late]] = {}
    for late, _, last in found:
        # a turn that was interrupted may have ended after its program said this
        if (ended := instance.ended.get(late.turn, last)) is not None:
            texts.setdefault(ended, []).append(late)
    return texts


async def last_answered(state: State, session_id: str) -> EndedTurn | None:
    """Return the last turn of a session that has an answer; None if there is none."""
    try:
        messages = await until_accepted(lambda: state.store.spoken(session_id, 2), session_id)
    except NotFound:
        return None
    return EndedTurn(session_id, messages[-1].turn_id) if messages else None


async def _with_late(state: State, ended: EndedTurn, late: Sequence[Late]) -> str | None:
    """Return the turn's answer with the late text; None if the log no longer shows the turn."""
    try:
        messages = await until_accepted(
            lambda: state.store.spoken(ended.stream, _MESSAGES, answered=False), ended.stream
        )
    except NotFound:
        return None
    of_turn = [spoken for spoken in messages if spoken.turn_id == ended.turn_id]
    return joined(_answer(of_turn), late) if of_turn else None


def joined(answer: str, late: Sequence[Late]) -> str:
    """Return the answer with the late text; each new message is a paragraph of its own."""
    for each in late:
        answer = f"{answer.rstrip()}\n\n{each.text}" if each.new and answer else answer + each.text
    return answer


def _answer(messages: Sequence[Spoken]) -> str:
    return next((spoken.content for spoken in reversed(messages) if spoken.role == _ASSISTANT), "")
