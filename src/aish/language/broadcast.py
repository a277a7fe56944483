"""`aish apollo,athena "message"`, `aish @code-analysis "message"`, `aish team-chat "message"`."""

from aish import exits
from aish.exits import Failure
from aish.options import parse_options
from aish.turns.input import read_input
from aish.turns.message import join_message, no_message
from aish.turns.plan import PlanRun
from aish.turns.prepared import all_prepared
from aish.turns.steps import TEAM_CHAT, steps_of
from rhetor.domain.grammar import GrammarError, Options, Target, parse_targets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from aish.client.hub import Hub


def run_broadcast(hub: "Hub", addressed: str, words: "list[str]", defaults: Options | None = None) -> int:
    """Send the text and piped input to all targets at once.

    Raises:
        Failure: there is nothing to send, a target is invalid, or the hub rejects the plan.
    """
    options, text = parse_options(words)
    options = options.over(defaults or Options())
    targets = _targets(addressed)
    piped = read_input()
    calls = all_prepared(hub, targets, text, options)
    if not (join_message(calls[0].text, piped) or options.attachments):
        if addressed == TEAM_CHAT:
            raise Failure("team-chat requires a message", exits.USAGE)
        raise no_message(addressed, options.session_id)
    if addressed != TEAM_CHAT:
        return PlanRun(hub, steps_of([calls]), options).run(piped)
    # many answers take a long time, so they survive a restart of the hub
    from aish.turns.background import Background
    from aish.turns.resuming import ResumingHub

    with Background() as background:
        return PlanRun(ResumingHub(background, hub.home), steps_of([calls]), options).run(piped)


def _targets(addressed: str) -> tuple[Target, ...]:
    try:
        return parse_targets(addressed)
    except GrammarError as error:
        raise Failure(error.message, exits.USAGE) from None
