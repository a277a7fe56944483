"""Finds the name that was probably meant."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def did_you_mean(word: str, names: "Iterable[str]") -> str:
    """Return a question with the name that is nearest to the word, in any case; empty if none is near."""
    from difflib import get_close_matches  # imports `re`, so only for an error

    known = {name.lower(): name for name in names}
    near = get_close_matches(word.lower(), known, n=1)
    return f"Did you mean {known[near[0]]}?" if near else ""
