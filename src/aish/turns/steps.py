"""A run of peers as the steps of one request: who answers, and whose answers each one is given."""

from aish.turns.message import message_fields
from rhetor.domain.grammar import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TypeAlias

    from rhetor.domain.grammar import Call

    Step: TypeAlias = dict[str, Any]

TEAM_CHAT = "team-chat"
EVERYONE = "team:all"


def steps_of(stages: "Sequence[Sequence[Call]]", sessions: "Mapping[str, str] | None" = None) -> "list[Step]":
    """Stages of calls, where the calls of one stage answer at once and each stage gets the one before.

    Steps are called by their peers (`athena`, `athena-2`), so that a later text can place `{{athena}}`.
    `sessions`: conversations to go on with, by peer.
    """
    steps: list[Step] = []
    needs: list[str] = []
    taken: set[str] = set()
    for calls in stages:
        made = [_step(call, needs, taken, sessions or {}) for call in calls]
        needs = [step["id"] for step in made]
        steps += made
    return steps


def _step(call: "Call", needs: "list[str]", taken: set[str], sessions: "Mapping[str, str]") -> "Step":
    target = str(call.target)
    fields = message_fields(call.options)
    if "context_window" in fields and "session_id" not in fields and target in sessions:
        fields["session_id"] = sessions[target]
    step = {
        "id": _free(call.target.name, taken),
        "ai": EVERYONE if target == TEAM_CHAT else target,
        "depends_on": needs,
        **fields,
    }
    return {**step, "message": call.text} if call.text else step


def _free(name: str, taken: set[str]) -> str:
    number = 1
    while (free := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    taken.add(free)
    return free


def is_single_peer(call: "Call") -> bool:
    """Whether the call is one message to one peer that is named, for which no plan is needed."""
    return call.target.kind == "peer" and call.target.name != TEAM_CHAT


def shared_options(calls: "Sequence[Call]") -> Options:
    """How a plan of these calls is shown, and how long it may take: the shortest time of all."""
    options = [call.options for call in calls]
    return Options(
        timeout=min((one.timeout for one in options if one.timeout), default=None),
        json=any(one.json for one in options),
        quiet=any(one.quiet for one in options),
        no_stream=any(one.no_stream for one in options),
        usage=any(one.usage for one in options),
    )
