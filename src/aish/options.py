"""The options before and after a peer, as the grammar reads them."""

from aish import exits
from aish.exits import Failure
from rhetor.domain.grammar import GrammarError, Options, leading_options, parse_words


def parsed(words: list[str]) -> tuple[Options, str]:
    """Options and text of the words after a target.

    Raises:
        Failure: an option does not hold.
    """
    try:
        return parse_words(words)
    except GrammarError as error:
        raise wrong_option(error) from None


def leading(words: list[str]) -> tuple[Options, int]:
    try:
        return leading_options(words)
    except GrammarError as error:
        raise wrong_option(error) from None


def wrong_option(error: GrammarError) -> Failure:
    hint = " (aish --help lists them)" if error.message.startswith("unknown option") else ""
    return Failure(f"aish: {error.message}{hint}", exits.USAGE)
