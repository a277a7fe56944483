"""The results of a bulk request are the same for every reader, wherever it joins the others."""

from __future__ import annotations

from copy import copy

from rhetor.dialects.bulk import SseResults
from rhetor.domain import event as ev
from rhetor.store.base import Record


def record(seq: int, payload: ev.Payload, step: str | None = None) -> Record:
    event = ev.Event("p", ev.Position("0" * 32, seq), seq * 1000, payload, None, step)
    return Record.of(event)


def test_a_copy_of_the_view_does_not_change_with_the_view() -> None:
    view = SseResults()
    view.encode(record(1, ev.StepStarted("a", "apollo", "s", "t"), "a"))
    other = copy(view)
    assert other == view
    view.encode(record(2, ev.StepStarted("b", "athena", "s", "t"), "b"))
    assert other != view
    assert b'"ai":null' in other.encode(record(3, ev.StepDone("b", "done"), "b"))
    assert b'"ai":"athena","execution_time":1.0' in view.encode(record(3, ev.StepDone("b", "done"), "b"))
