"""The plans that ACP agents and Codex report, also broken ones."""

from __future__ import annotations

from typing import Any

import pytest

from rhetor.domain.event import AgentPlan, PlanEntry
from rhetor.domain.output import Plain, Planned, Record
from rhetor.domain.turn import Turn
from rhetor.drivers.agents import plans
from rhetor.drivers.agents.protocol import Opening
from tests.rhetor.drivers.agents.acp_dialogue import CWD, Dialogue
from tests.rhetor.drivers.agents.codex_lines import started, tell

PLAN = Planned((PlanEntry("look", "completed"), PlanEntry("mend", "in_progress"), PlanEntry("test")))


def acp_plan(dialogue: Dialogue) -> list[Plain]:
    entries = [("look", "completed"), ("mend", "in_progress"), ("test", "pending")]
    rows = [{"content": text, "priority": "high", "status": status} for text, status in entries]
    return list(dialogue.update("plan", entries=rows).outputs)


def test_the_plan_of_an_acp_agent_is_output_after_its_record() -> None:
    record, plan = acp_plan(Dialogue(Opening(CWD)).ready())
    assert isinstance(record, Record)
    assert plan == PLAN


def test_the_plan_in_a_history_that_is_loaded_is_not_output() -> None:
    dialogue = Dialogue(Opening(CWD, {"session_id": "s", "prompts": 1}))
    dialogue.do("open")
    assert acp_plan(dialogue) == []


def test_the_plan_of_codex_is_output_after_its_record() -> None:
    steps = [
        *({"step": "look", "status": "completed"}, {"step": "mend", "status": "inProgress"}),
        {"step": "test", "status": "pending"},
    ]
    heard = tell(started(), "turn/plan/updated", turnId="u1", explanation=None, plan=steps)
    assert [type(output) for output in heard.outputs] == [Record, Planned]
    assert heard.outputs[1] == PLAN


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        *((None, ()), ("text", ()), ({}, ()), ([], ()), ([1, "x", None, {}, {"content": 3}], ())),
        *(([{"content": " "}], ()), ([{"content": "a", "status": 7}], (PlanEntry("a"),))),
        ([{"content": "a\n", "status": "done"}], (PlanEntry("a", "pending"),)),
    ],
)
def test_entries_without_text_are_left_out_and_unknown_statuses_are_pending(
    entries: Any, found: tuple[PlanEntry, ...]
) -> None:
    assert plans.of_acp({"entries": entries}) == Planned(found)


def test_a_plan_is_an_event_of_the_turn_and_counts_as_output() -> None:
    turn = Turn("t", "m", "codex")
    turn.start()
    assert turn.step(PLAN) == (AgentPlan(PLAN.entries),)
    assert turn.has_output
