"""Makes the steps of a plan from the calls of a line: which peer answers, and whose answers it receives."""

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
    """Return the steps for these stages. The steps of one stage run at once, and receive the answers of the
    stage before it.

    A step is named after its peer (`athena`, `athena-2`), so that a later text can insert `{{athena}}`.
    `sessions` are the sessions to continue, by peer.
    """
    steps: list[Step] = []
    needs: list[str] = []
    taken: set[str] = set()
    for calls in stages:
        added = [_step(call, needs, taken, sessions or {}) for call in calls]
        needs = [step["id"] for step in added]
        steps += added
    return steps


def _step(call: "Call", needs: "list[str]", taken: set[str], sessions: "Mapping[str, str]") -> "Step":
    target = str(call.target)
    fields = message_fields(call.options)
    if "context_window" in fields and "session_id" not in fields and target in sessions:
        fields["session_id"] = sessions[target]
    step = {
        "id": _unique(call.target.name, taken),
        "ai": EVERYONE if target == TEAM_CHAT else target,
        "depends_on": needs,
        **fields,
    }
    return {**step, "message": call.text} if call.text else step


def _unique(name: str, taken: set[str]) -> str:
    number = 1
    while (unique := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    taken.add(unique)
    return unique


def is_single_peer(call: "Call") -> bool:
    """Whether the call is a message to one named peer, which needs no plan."""
    return call.target.kind == "peer" and call.target.name != TEAM_CHAT


def shared_options(calls: "Sequence[Call]") -> Options:
    """Return the options of a plan that consists of these calls. Its timeout is the shortest of theirs."""
    options = [call.options for call in calls]
    return Options(
        timeout=min((one.timeout for one in options if one.timeout), default=None),
        json=any(one.json for one in options),
        quiet=any(one.quiet for one in options),
        raw=any(one.raw for one in options),
        no_stream=any(one.no_stream or one.schema is not None for one in options),
        usage=any(one.usage for one in options),
    )
