"""A plan: a graph of messages. Pipelines, broadcasts, fan-ins and bulk requests are plans."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, field

from rhetor.errors import HopLimit, Unprocessable

from .event import (
    ContextInjected,
    StepDone,
    StepFailed,
    TurnCancelled,
    TurnCompleted,
    TurnEnd,
    TurnFailed,
    TurnInterrupted,
)
from .parts import GivenPart

IfBusy = Literal["queue", "refuse", "interrupt"]
IfOffline = Literal["queue", "refuse"]
_PLACE = re.compile(r"\{\{([A-Za-z0-9_.@-]+)\}\}")


class Step(Struct, frozen=True, gc=False):
    """One message of a plan.

    `target`: a peer's name, `@capability` or `team:<name>`. `template`: the step's own text. `needs`: the
    steps whose answers it receives. `context`: texts that are sent before its message. `model`, `system`,
    `parts`, `response_schema` and `if_offline`: as in `SendMessage`.
    """

    id: str
    target: str
    template: str = ""
    needs: tuple[str, ...] = ()
    session_id: str | None = None
    context_window: int | None = None
    execute: bool = False
    delimiter: str | None = None
    if_busy: IfBusy = "queue"
    context: tuple[ContextInjected, ...] = ()
    model: str | UnsetType = UNSET
    system: str | UnsetType = UNSET
    parts: tuple[GivenPart, ...] | UnsetType = UNSET
    response_schema: dict[str, Any] | UnsetType = UNSET
    if_offline: IfOffline | UnsetType = UNSET


class Answer(Struct, frozen=True, gc=False):
    """The answer of a step. `title`: the name of the peer as it is shown."""

    title: str
    text: str


class Plan(Struct, frozen=True, gc=False):
    """Steps, each of which may need the answers of others."""

    steps: tuple[Step, ...]

    def check(self, hops: int) -> None:
        """Check that the plan can run.

        Raises:
            Unprocessable: it has no steps, a duplicate id, an unknown need, or a cycle.
            HopLimit: an answer would pass through more than `hops` peers.
        """
        ids = [step.id for step in self.steps]
        if not ids:
            raise Unprocessable("a plan needs at least one step")
        counts = Counter(ids)
        for id in ids:
            if counts[id] > 1:
                raise Unprocessable(f"two steps are called {id!r}", step=id)
        for step in self.steps:
            for need in step.needs:
                if need not in counts:
                    raise Unprocessable(
                        f"step {step.id!r} needs {need!r}, which does not exist", step=step.id
                    )
        depth = self._depth()
        if depth > hops:
            raise HopLimit(depth, hops)

    def _depth(self) -> int:
        """Return the number of steps in the longest chain of needs.

        Raises:
            Unprocessable: the steps have a cycle.
        """
        missing = {step.id: len(set(step.needs)) for step in self.steps}
        needed_by = defaultdict[str, list[str]](list)
        for step in self.steps:
            for need in set(step.needs):
                needed_by[need].append(step.id)
        depth, level = 0, [id for id, count in missing.items() if not count]
        while level:
            depth += 1
            users = [user for id in level for user in needed_by[id]]
            for user in users:
                missing[user] -= 1
            level = [user for user in dict.fromkeys(users) if not missing[user]]
        if left := sorted(id for id, count in missing.items() if count):
            raise Unprocessable("these steps depend on each other in a cycle", steps=left)
        return depth


class Progress(Struct):
    """The progress of a plan. The caller starts the steps of `ready_steps` and records how they end."""

    plan: Plan
    answers: dict[str, Answer] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)

    def ready_steps(self, most: int | None = None) -> Sequence[Step]:
        """Return at most `most` steps that can run now and were not returned before, in the plan's order."""
        ready = [s for s in self.plan.steps if s.id not in self.started and self._may_run(s)][:most]
        self.started.update(s.id for s in ready)
        return ready

    def newly_skipped(self) -> Sequence[tuple[Step, str]]:
        """Return the steps that can no longer run, each once and with the failed step that caused it."""
        found: list[tuple[Step, str]] = []
        for step in self._in_order():
            broken = [n for n in step.needs if n in self.failed or n in self.skipped]
            if broken and step.id not in self.skipped:
                self.skipped[step.id] = self.skipped.get(broken[0], broken[0])
                found.append((step, self.skipped[step.id]))
        return found

    @property
    def over(self) -> bool:
        """Whether all steps have ended."""
        ended = len(self.answers) + len(self.failed) + len(self.skipped)
        return ended == len(self.plan.steps)

    def inputs(self, step: Step) -> Sequence[tuple[str, Answer]]:
        """Return the answers that the step receives, in the order of its needs."""
        return [(need, self.answers[need]) for need in step.needs]

    def _may_run(self, step: Step) -> bool:
        return all(need in self.answers for need in step.needs)

    def _in_order(self) -> Sequence[Step]:
        """Return the steps in an order in which each follows the steps that it needs."""
        placed: dict[str, Step] = {}
        while len(placed) < len(self.plan.steps):
            for step in self.plan.steps:
                if step.id not in placed and all(n in placed for n in step.needs):
                    placed[step.id] = step
        return list(placed.values())


def compose(
    template: str, given: Sequence[tuple[str, Answer]], nonce: str, stdin: str = "", *, plain: bool = False
) -> str:
    """Return a step's message: the answers of other steps as attributed data, its own text, and `stdin`.

    Each answer is put between two fence lines that contain `nonce`. No answer can know the nonce, so none can
    forge the end of its fence. The first `{{step}}` in the template is replaced with the answer of that step,
    which is then not put in front. `plain`: without fences, as in a pipe, for programs that read their input
    literally.
    """
    waiting = {name: answer.text if plain else _attributed(answer, nonce) for name, answer in given}
    placed = _PLACE.sub(lambda m: waiting.pop(m[1], m[0]), template)
    parts = [*waiting.values(), placed, stdin]
    whole = "\n\n".join(part for part in parts if part)
    return whole.removesuffix("\n") if plain else whole


def _attributed(answer: Answer, nonce: str) -> str:
    return fenced(f"From {answer.title}", answer.text, nonce)


def fenced(heading: str, text: str, nonce: str) -> str:
    """Return the text between two fence lines, under a heading that names its author."""
    return f"[{heading}]\n--- {nonce} ---\n{text}\n--- {nonce} ---"


def step_outcome(step: str, end: TurnEnd) -> StepDone | StepFailed:
    """Return the event that reports the end of a step's turn. `step`: its id, or a team member's name."""
    match end:
        case TurnCompleted(text=text, finish_reason=reason):
            return StepDone(step, text, reason)
        case TurnFailed(code, detail, retryable, data):
            return StepFailed(step, code, detail, retryable, data)
        case TurnCancelled(by=by):
            return StepFailed(step, "cancelled", f"cancelled by {by}")
        case TurnInterrupted(reason=reason):
            return StepFailed(step, "interrupted", reason, retryable=True)
