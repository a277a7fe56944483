"""`aish apollo,athena "message"`, `aish @code-analysis "message"`, `aish team-chat "message"`."""

from aish import exits
from aish.exits import Failure
from aish.options import parsed
from aish.turns.message import joined, no_message, read_input
from aish.turns.plan import PlanRun
from aish.turns.steps import TEAM_CHAT, steps_of
from rhetor.domain.grammar import Call, GrammarError, Options, Target, parse_targets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from aish.client.hub import Hub


def run_broadcast(hub: "Hub", addressees: str, words: "list[str]", defaults: Options | None = None) -> int:
    """Send what was typed and piped in to all of them at once.

    Raises:
        Failure: there is nothing to send or nobody to send it to, or the hub refuses.
    """
    options, text = parsed(words)
    options = options.over(defaults or Options())
    targets = _targets(addressees)
    given = read_input()
    if not joined(text, given):
        if addressees == TEAM_CHAT:
            raise Failure("team-chat requires a message", exits.USAGE)
        raise no_message(addressees)
    calls = [Call(target, text, options) for target in targets]
    if addressees != TEAM_CHAT:
        return PlanRun(hub, steps_of([calls]), options).run(given)
    # so many answers take their time: they go on where the hub does not
    from aish.turns.background import Background
    from aish.turns.resuming import ResumingHub

    with Background() as background:
        return PlanRun(ResumingHub(background, hub.home), steps_of([calls]), options).run(given)


def _targets(addressees: str) -> tuple[Target, ...]:
    try:
        return parse_targets(addressees)
    except GrammarError as error:
        raise Failure(f"aish: {error.message}", exits.USAGE) from None
