"""A plan: a graph of sends. Pipelines, broadcasts, fan-ins and bulk requests are all plans."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct, field

from rhetor.errors import HopLimit, Unprocessable

from .event import ContextInjected

IfBusy = Literal["queue", "refuse", "interrupt"]
_PLACE = re.compile(r"\{\{([A-Za-z0-9_.-]+)\}\}")


class Step(Struct, frozen=True, gc=False):
    """One send. `target`: a peer's name, `@capability` or `team:name`; `template`: the step's own words;
    `needs`: the steps whose answers it is given; `context`: what is said in front of its message."""

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


class Answer(Struct, frozen=True, gc=False):
    """What a step said, and who said it (`title`, as it is shown)."""

    title: str
    text: str


class Plan(Struct, frozen=True, gc=False):
    steps: tuple[Step, ...]

    def check(self, hops: int) -> None:
        """Raises:
        Unprocessable: no steps, a double id, an unknown dependency, or a cycle.
        HopLimit: an answer would pass through more than `hops` peers.
        """
        ids = [step.id for step in self.steps]
        if not ids:
            raise Unprocessable("a plan needs at least one step")
        for id in ids:
            if ids.count(id) > 1:
                raise Unprocessable(f"two steps are called {id!r}", step=id)
        for step in self.steps:
            for need in step.needs:
                if need not in ids:
                    raise Unprocessable(f"step {step.id!r} needs {need!r}, which is not there", step=step.id)
        depth = self._depth()
        if depth > hops:
            raise HopLimit(depth, hops)

    def _depth(self) -> int:
        """The longest chain of needs, in steps; found by taking away what is ready, round by round."""
        left, done, depth = list(self.steps), set[str](), 0
        while left:
            ready = [s for s in left if done.issuperset(s.needs)]
            if not ready:
                raise Unprocessable(
                    "these steps wait for each other in a circle", steps=sorted(s.id for s in left)
                )
            done.update(s.id for s in ready)
            left = [s for s in left if s.id not in done]
            depth += 1
        return depth


class Progress(Struct):
    """How far a plan is. Steps are started by who asks `ready_steps`; their ends are told here."""

    plan: Plan
    answers: dict[str, Answer] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)

    def ready_steps(self, most: int | None = None) -> Sequence[Step]:
        """Steps that may run and were not given out before, at most `most`, in the plan's order."""
        ready = [s for s in self.plan.steps if s.id not in self.started and self._may_run(s)][:most]
        self.started.update(s.id for s in ready)
        return ready

    def newly_skipped(self) -> Sequence[tuple[Step, str]]:
        """Steps that can no longer run, each with the failed step that is the cause; told once."""
        found: list[tuple[Step, str]] = []
        for step in self._in_order():
            broken = [n for n in step.needs if n in self.failed or n in self.skipped]
            if broken and step.id not in self.skipped:
                self.skipped[step.id] = self.skipped.get(broken[0], broken[0])
                found.append((step, self.skipped[step.id]))
        return found

    @property
    def over(self) -> bool:
        ended = len(self.answers) + len(self.failed) + len(self.skipped)
        return ended == len(self.plan.steps)

    def inputs(self, step: Step) -> Sequence[tuple[str, Answer]]:
        """What the step is given, in the order in which it asked for it."""
        return [(need, self.answers[need]) for need in step.needs]

    def _may_run(self, step: Step) -> bool:
        return all(need in self.answers for need in step.needs)

    def _in_order(self) -> Sequence[Step]:
        """Steps such that those a step needs come before it."""
        placed: dict[str, Step] = {}
        while len(placed) < len(self.plan.steps):
            for step in self.plan.steps:
                if step.id not in placed and all(n in placed for n in step.needs):
                    placed[step.id] = step
        return list(placed.values())


def compose(
    template: str, given: Sequence[tuple[str, Answer]], nonce: str, stdin: str = "", *, plain: bool = False
) -> str:
    """The message of a step: answers of others as attributed data, then its own words, then plain input.
    `plain`: for programs that take what they read as it is; answers stand there without fence, as in a pipe.

    Data stands between two fence lines that carry `nonce`, which no answer can know, so none can forge the
    end of its fence. `{{step}}` in the template places an answer there instead, once.
    """
    waiting = {name: answer.text if plain else _attributed(answer, nonce) for name, answer in given}
    placed = _PLACE.sub(lambda m: waiting.pop(m[1], m[0]), template)
    parts = [*waiting.values(), placed, stdin]
    whole = "\n\n".join(part for part in parts if part)
    return whole.removesuffix("\n") if plain else whole


def _attributed(answer: Answer, nonce: str) -> str:
    return fenced(f"From {answer.title}", answer.text, nonce)


def fenced(heading: str, text: str, nonce: str) -> str:
    """`text` between two fence lines, which say with `heading` whose words it is."""
    return f"[{heading}]\n--- {nonce} ---\n{text}\n--- {nonce} ---"
