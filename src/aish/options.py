"""The options before and after a peer's name, as the grammar defines them."""

from aish import exits
from aish.exits import Failure
from rhetor.domain.grammar import GrammarError, Options, leading_options, parse_words


def parse_options(words: list[str]) -> tuple[Options, str]:
    """The options and the text in the words after a target.

    Raises:
        Failure: an option is invalid.
    """
    try:
        return parse_words(words)
    except GrammarError as error:
        raise invalid_option(error) from None


def parse_leading_options(words: list[str]) -> tuple[Options, int]:
    """The options before the first other word, and the number of words that they take.

    Raises:
        Failure: an option is invalid.
    """
    try:
        return leading_options(words)
    except GrammarError as error:
        raise invalid_option(error) from None


def invalid_option(error: GrammarError) -> Failure:
    hint = " (aish --help lists them)" if error.message.startswith("unknown option") else ""
    return Failure(f"{error.message}{hint}", exits.USAGE)
