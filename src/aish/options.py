"""The options before and after a peer's name, as the grammar defines them."""

from aish import exits
from aish.exits import Failure
from rhetor.domain.grammar import GrammarError, Options, leading_options, parse_words

_UNKNOWN = "unknown option"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Parsed = TypeVar("Parsed")


def parse_options(words: list[str]) -> tuple[Options, str]:
    """Return the options and the text in the words after a target.

    Raises:
        Failure: an option is invalid.
    """
    return _parse(parse_words, words)


def parse_leading_options(words: list[str]) -> tuple[Options, int]:
    """Return the options at the beginning of the words, and the number of words that they take.

    Raises:
        Failure: an option is invalid.
    """
    try:
        return _parse(leading_options, words)
    except Failure as failure:
        if failure.message.startswith(_UNKNOWN):
            from aish.catalogue.messages import MESSAGE, SHELL
            from aish.catalogue.nearest import did_you_mean
            from aish.catalogue.notation import Form

            names = [name for page in (SHELL, MESSAGE) for form in page.forms for name in Form(form).options]
            word = failure.message.removeprefix(_UNKNOWN).partition(";")[0].strip()
            failure.message = f"{_UNKNOWN} {word}"
            failure.hint = did_you_mean(word, names) or failure.hint
        raise


def _parse(parse: "Callable[[list[str]], Parsed]", words: list[str]) -> "Parsed":
    try:
        return parse(words)
    except GrammarError as error:
        is_unknown = error.message.startswith(_UNKNOWN)
        hint = "aish --help lists the options; write -- before text that begins with -" if is_unknown else ""
        raise Failure(error.message, exits.USAGE, problem=exits.INVALID_OPTION, hint=hint) from None
