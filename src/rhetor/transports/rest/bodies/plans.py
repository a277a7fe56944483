"""Plans and bulk requests: their steps, and how many there may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Raw, field

from rhetor.codec.forms import PLAIN, form
from rhetor.codec.typed_json import decoded, no_list
from rhetor.dialects.extras import Extras
from rhetor.dialects.peer_socket import Delimiter, Id, Sender, Window
from rhetor.domain.command import StartPlan
from rhetor.domain.plan import IfBusy, Step
from rhetor.errors import Unprocessable

from .common import Body, Folder, Text, one_of

MOST_STEPS, MOST_NEEDS = 1000, 10_000


def _bounded(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the steps, if they are not too many: checking a plan blocks the event loop."""
    if len(steps) > MOST_STEPS:
        raise Unprocessable(f"a plan can have at most {MOST_STEPS} steps, not {len(steps)}")
    if sum(len(step.needs) for step in steps) > MOST_NEEDS:
        raise Unprocessable(f"a plan can have at most {MOST_NEEDS} dependencies in total")
    return steps


StepId = Annotated[
    str,
    form(
        r"^[A-Za-z0-9_.@-]+$", "must have letters, digits, `_`, `.`, `@` or `-`", min_length=1, max_length=100
    ),
]


# decoded only after the dependencies of the whole plan have been counted
_NEED = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": PLAIN}
Needs = Annotated[Raw, Meta(extra_json_schema={"type": "array", "items": _NEED})]


def _needs(steps: Sequence[StepBody | OperationBody], name: str) -> list[tuple[str, ...]]:
    """Return the dependencies of each step, without duplicates.

    Raises:
        Unprocessable: a dependency is not an id, or the plan has too many dependencies.
    """
    # counting commas is enough, because no step has an id with a comma
    if sum(1 + bytes(step.depends_on).count(b",") for step in steps) > MOST_NEEDS + len(steps):
        raise Unprocessable(f"a plan can have at most {MOST_NEEDS} dependencies in total")
    found = (
        decoded(step.depends_on, list[Id], f"body.{name}.{n}.depends_on") for n, step in enumerate(steps)
    )
    return [tuple(dict.fromkeys(needs)) for needs in found]


class StepBody(Extras, Body, frozen=True, kw_only=True):
    id: StepId
    ai: Id
    message: str = ""
    depends_on: Needs = field(default_factory=no_list)
    session_id: Id | None = None
    context_window: Window | None = None
    execute: bool = False
    delimiter: Delimiter | None = None
    if_busy: IfBusy = "queue"
    system: Text | None = None

    def step(self, needs: tuple[str, ...]) -> Step:
        return Step(
            self.id,
            self.ai,
            self.whole(self.message),
            needs,
            self.session_id,
            self.context_window,
            self.execute,
            self.delimiter,
            self.if_busy,
            **self.extras(f"body.steps.{self.id}"),
        )


class PlanBody(Body, frozen=True, kw_only=True):
    """Either `line`, a line of the shell's grammar with peers only, or `steps`. `input`: text that is
    appended to the messages of steps without dependencies."""

    constraints = one_of(line={"type": "string"}, steps={"type": "array"})
    line: Annotated[Text, Meta(max_length=64 << 10)] | None = None
    steps: Annotated[list[StepBody], Meta(max_length=1000, extra_json_schema={"minItems": 1})] | None = None
    input: str = ""
    command_id: Id | None = None
    from_: Sender = field(name="from", default="")
    cwd: Folder | None = None

    def own_steps(self) -> tuple[Step, ...]:
        steps = self.steps or []
        return tuple(each.step(of) for each, of in zip(steps, _needs(steps, "steps"), strict=True))

    def command(self, steps: tuple[Step, ...], key: str | None) -> StartPlan:
        return StartPlan(_bounded(steps), self.input, None, key or self.command_id, self.from_, self.cwd)


class PreviewBody(Body, frozen=True, kw_only=True):
    """A line of the shell's grammar with peers only. `input`: text that its first steps would receive."""

    line: Annotated[str, Meta(max_length=64 << 10)]
    input: str = ""


class CompleteBody(Body, frozen=True, kw_only=True):
    """A line, and how many of its characters are before the cursor."""

    line: Annotated[str, Meta(max_length=64 << 10)]
    at: Annotated[int, Meta(ge=0, le=64 << 10)]


class OperationBody(Extras, Body, frozen=True, kw_only=True):
    """An operation. `ai`: a peer, `@capability` or `team:name`. `{{id}}` in `message` stands for the answer
    of the operation with that id."""

    id: StepId
    ai: Id
    message: str = ""
    depends_on: Needs = field(default_factory=no_list)
    session_id: Id | None = None

    def step(self, needs: tuple[str, ...]) -> Step:
        extras = self.extras(f"body.operations.{self.id}")
        return Step(self.id, self.ai, self.whole(self.message), needs, self.session_id, **extras)


class BulkBody(Body, frozen=True, kw_only=True):
    """A bulk request. `sequential` runs one operation at a time, in the order given, as far as dependencies
    allow."""

    operations: Annotated[list[OperationBody], Meta(min_length=1, max_length=1000)]
    execution: Literal["parallel", "sequential"] = "parallel"
    max_parallel: Annotated[int, Meta(ge=1, le=1000)] | None = None
    command_id: Id | None = None
    from_: Sender = field(name="from", default="")

    def command(self, most: int, key: str | None) -> StartPlan:
        needs = _needs(self.operations, "operations")
        steps = tuple(each.step(of) for each, of in zip(self.operations, needs, strict=True))
        most = 1 if self.execution == "sequential" else self.max_parallel or most
        return StartPlan(_bounded(steps), "", most, key or self.command_id, self.from_)
