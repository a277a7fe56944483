"""Shows a failure: what is wrong, the hint, and the name that was probably meant."""

from aish.exits import PEER, WORD, Failure
from aish.output import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_BEFORE = {"CAPABILITY": "@", "TEAM": "team:"}  # how such a name is written


def say_failure(failure: Failure) -> None:
    """Print a failure on stderr. If a name is unknown, the nearest one follows on a line of its own."""
    say("\n".join(filter(None, (failure.shown, _nearest(*failure.unknown)))))


def _nearest(kind: str, word: str) -> str:
    if not kind:
        return ""
    from aish.catalogue.nearest import did_you_mean

    return did_you_mean(word, _known(kind))


def _known(kind: str) -> "Iterator[str]":
    from aish.client.names import HubNames

    names = HubNames()
    if kind == WORD:
        from aish.catalogue import pages

        yield from (name for name in pages() if " " not in name)
        yield "team-chat"
        yield from (name for name, _ in names.names("ALIAS", ()))
    for each in (PEER if kind == WORD else kind).split("|"):
        yield from (_BEFORE.get(each, "") + name for name, _ in names.names(each, ()))
