"""Messages with a model and a prompt of their own."""

from __future__ import annotations

import pytest
from msgspec import UNSET
from tests.rhetor.hub.house import ME, house
from tests.scripted import ScriptedConversation, ScriptedDriver

from rhetor.domain import event as ev
from rhetor.domain.command import SendMessage, StartPlan, StartSession
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.plan import Step
from rhetor.domain.program import Program
from rhetor.domain.session import Voice
from rhetor.errors import Unprocessable
from rhetor.hub.turns.peer_call import require_voice

pytestmark = pytest.mark.anyio


class Recording(ScriptedDriver):
    """Records the prompt and the model of each peer that is called."""

    def __init__(self) -> None:
        super().__init__()
        self.called: list[tuple[str, str, str | None]] = []

    async def open(self, peer: Peer, resume: str | None = None) -> ScriptedConversation:
        self.called.append((peer.name, peer.prompt, peer.model))
        return await super().open(peer, resume)


async def test_a_message_sets_the_model_and_the_prompt_for_itself_alone() -> None:
    driver = Recording()
    async with house(driver=driver) as home:
        voice = Voice(besides="In Greek.", model="a/b")
        session = await home.hub.execute(ME, StartSession("apollo", voice=voice))
        for message in (
            SendMessage("1", session_id=session.id, model="x/y", system="Be brief."),
            SendMessage("2", session_id=session.id, system="Be brief."),
            SendMessage("3", session_id=session.id),
        ):
            await home.end_of(await home.send(message))
        own = driver.called[2][1]
        assert driver.called == [
            ("apollo", "Be brief.", "x/y"),
            ("apollo", "Be brief.", "a/b"),
            ("apollo", own, "a/b"),
        ]
        assert own.endswith("In Greek.")
        messages = [p for p in await home.log(session.id) if isinstance(p, ev.MessageAccepted)]
        assert [(m.model or None, m.system or None) for m in messages] == [
            ("x/y", "Be brief."),
            (None, "Be brief."),
            (None, None),
        ]


async def test_each_step_of_a_plan_has_its_own_model() -> None:
    driver = Recording()
    async with house(driver=driver) as home:
        steps = (
            Step("a", "athena", "hi", model="x/y"),
            Step("b", "apollo", needs=("a",), system="Be brief.", context_window=5),
        )
        events = await home.run_plan(StartPlan(steps))
        assert events[-1].payload == ev.PlanEnded("completed")
        assert (driver.called[0][0], driver.called[0][2]) == ("athena", "x/y")
        assert driver.called[1][:2] == ("apollo", "Be brief.")


async def test_a_program_has_neither_model_nor_prompt() -> None:
    program = Peer("box", PeerKind.TERMINAL, "stdio", program=Program(("cat",), "/"))
    for given in (("x/y", UNSET), (UNSET, "Be brief.")):
        with pytest.raises(Unprocessable, match="box is not a specialist"):
            require_voice(program, *given)
    require_voice(program)
    async with house() as home:
        command = SendMessage("hi", "team:all", context_window=3, model="x/y")
        with pytest.raises(Unprocessable, match="is not a specialist"):
            await home.execute(command)
        assert home.driver.heard == []
