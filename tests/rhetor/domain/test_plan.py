"""Which steps of a plan can run, and what a step receives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rhetor.domain.plan import Answer, Plan, Progress, Step, compose
from rhetor.domain.routing import rank
from tests.scripted import PEERS


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw plans without a cycle: each step needs only earlier steps, then the order is shuffled."""
    count = draw(st.integers(1, 8))
    steps = [
        Step(f"s{n}", "apollo", "x", tuple(f"s{m}" for m in range(n) if draw(st.booleans())))
        for n in range(count)
    ]
    return Plan(tuple(draw(st.permutations(steps))))


@given(plans(), st.data())
def test_every_step_ends_once_and_runs_after_its_needs(plan: Plan, data: st.DataObject) -> None:
    plan.check(hops=8)
    progress = Progress(plan)
    running: list[Step] = []
    while True:
        ready = progress.ready_steps()
        for step in ready:
            assert all(need in progress.answers for need in step.needs)
        running += ready
        if not running:
            break
        step = running.pop(data.draw(st.integers(0, len(running) - 1)))
        if data.draw(st.booleans()):
            progress.answers[step.id] = Answer("Apollo", "fine")
        else:
            progress.failed.add(step.id)
        for skipped, because in progress.newly_skipped():
            assert because in progress.failed
            assert skipped.id not in progress.started
    assert progress.over
    ended = [*progress.answers, *progress.failed, *progress.skipped]
    assert sorted(ended) == sorted(step.id for step in plan.steps)


@given(st.text(max_size=40), st.text(max_size=40))
def test_an_answer_is_complete_between_its_fence_lines(words: str, answer: str) -> None:
    message = compose(words, [("s1", Answer("Athena", answer))], "n0nce")
    fenced = f"[From Athena]\n--- n0nce ---\n{answer}\n--- n0nce ---"
    assert fenced in message
    assert message.count("--- n0nce ---") == 2 + words.count("--- n0nce ---") + answer.count("--- n0nce ---")


def test_parts_of_a_message_are_in_order_and_empty_ones_are_left_out() -> None:
    assert compose("look", [], "n", "input") == "look\n\ninput"
    assert compose("", [], "n", "input") == "input"
    assert compose("look", [], "n") == "look"
    assert compose("a {{other}} b", [("s1", Answer("A", "{{s1}}"))], "n").endswith("a {{other}} b")


def test_peers_are_ordered_by_primary_then_score_then_name() -> None:
    assert [m.peer.name for m in rank(PEERS, "code-analysis")] == ["apollo", "athena"]
    assert [m.peer.name for m in rank(PEERS, "code-analysis", 0.97)] == ["athena"]
    assert rank(PEERS, "flying") == []
