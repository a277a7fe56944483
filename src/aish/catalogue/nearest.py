"""Finds the word that was probably meant: a name, an option, a subcommand or another word of a usage line."""

from aish.catalogue import SAME_COMMANDS, pages_for
from aish.catalogue.notation import Form, Split, is_literal
from rhetor.domain.nearest import did_you_mean as did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aish.catalogue.notation import Word


def usage_hint(words: "Sequence[str]") -> str:
    """Return a question for a command line that its command rejects, with the word that was probably meant.
    The first word is a command."""
    words = [SAME_COMMANDS.get(words[0], words[0]), *words[1:]]
    forms = [Form(form) for page in pages_for(words) for form in page.forms]
    splits = [Split(words, form.options) for form in forms]
    if wrong := next((word for word in splits[0].unknown if all(word in s.unknown for s in splits)), None):
        return did_you_mean(wrong.partition("=")[0], {name for form in forms for name in form.options})
    return _value_hint(words, forms) or _word_hint(splits[0].plain, forms)


def _value_hint(words: "Sequence[str]", forms: "Sequence[Form]") -> str:
    """Return the hint for the value of an option that is none of its choices."""
    options = {name: option for form in forms for name, option in form.options.items()}
    for at, word in enumerate(words):
        name, is_joined, value = word.partition("=")
        value = value if is_joined else "".join(words[at + 1 : at + 2])
        option = options.get(name)
        if option and option.value and (hint := _hint(value, [option.value])):
            return hint
    return ""


def _word_hint(plain: "list[str]", forms: "Sequence[Form]") -> str:
    """Return the hint for the first word with which no form continues."""
    for at in range(1, len(plain)):
        if not any(form.accepts(plain[: at + 1]) for form in forms):
            return _hint(plain[at], [word for form in forms for word in form.expected(plain[:at])])
    return ""


def _hint(word: str, expected: "Iterable[Word]") -> str:
    """Return the hint for a word in place of others; empty if it is one of them, or is near none of them."""
    choices = [choice for each in expected for choice in each.alternatives]
    if not word or word in choices:
        return ""
    return did_you_mean(word, filter(is_literal, choices))
