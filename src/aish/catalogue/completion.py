"""Completes command lines of the shell: from the words before the cursor to the words that can stand at it.

It does no I/O. A provider of names tells which peers, sessions and so on there are.
"""

from aish.catalogue import SAME_COMMANDS, pages, pages_for
from aish.catalogue.messages import MESSAGE, SHELL
from aish.catalogue.notation import Form, Split, is_literal
from aish.catalogue.topics import TOPICS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Protocol

    from aish.catalogue.notation import Option, Word
    from aish.catalogue.page import Page

    class Names(Protocol):
        """Knows which names there are."""

        def names(self, kind: str, words: Sequence[str]) -> Iterable[tuple[str, str]]:
            """Return the names of a kind, each with a description of one line.

            The kinds are `PEER`, `CAPABILITY`, `TEAM`, `TERMINAL`, `ALIAS`, `SESSION`, `CHECKPOINT`, `ROUTE`,
            `PROJECT`, `SERVER`, `TOOL`, `PERMISSION`, `OPTION`, `MODEL`, `PROVIDER`, `SPECIALIST`,
            `SCHEDULE`, `RECIPIENT`, `LOGIN` and `SETTING`; others have no names. `words` precede the name,
            without options: the checkpoints after `sessions diff work` are those of the session `work`.
            """
            ...


FILES, FOLDERS, PROGRAMS = "files", "folders", "programs"
_ALSO = {"FILE": FILES, "FOLDER": FOLDERS, "CMD": PROGRAMS}
_AGENTS = ("claude-code", "codex", "gemini", "opencode", "copilot", "continue", "cursor")
_TARGET = ("PEER", "@CAPABILITY", "team:TEAM")
_KINDS = {
    "TARGET": _TARGET,
    "SRC": ("PEER",),
    "DST": ("PEER", "TERMINAL"),
    "HOP": (*_TARGET, "route:ROUTE"),
}
# kinds of names that only the hub knows
_HUB_NAMES = {
    *("PEER", "CAPABILITY", "TEAM", "TERMINAL", "SESSION", "CHECKPOINT", "ROUTE", "PROJECT", "SERVER"),
    *("TOOL", "PERMISSION", "OPTION", "MODEL", "PROVIDER", "SPECIALIST", "SCHEDULE", "ALIAS", "RECIPIENT"),
    "LOGIN",
}
_TEAM_CHAT = "team-chat"
_HELP, _HELP_PURPOSE = "--help", "show the options and two examples"


class Candidate:
    """A word that can stand at the cursor, in place of what is typed of it, and what it means in one line."""

    __slots__ = ("description", "text")

    def __init__(self, text: str, description: str = "") -> None:
        self.text = text
        self.description = description


class Completion:
    """What can stand at the cursor.

    `candidates` are words, in the order in which they are shown. `also` is `FILES`, `FOLDERS` or `PROGRAMS`
    if these can stand there, too; `stem` is the end of the word at the cursor that is the beginning of their
    name: `src/` in `--cwd=src/`. `needs_name`: only a name that the hub knows can stand there.
    """

    def __init__(self) -> None:
        self.candidates: list[Candidate] = []
        self.also = ""
        self.stem = ""
        self.needs_name = False


def complete(words: "Sequence[str]", cursor: str, names: "Names") -> Completion:
    """Return what can stand at the cursor. `words` are those before it, without `aish`; `cursor` is what is
    typed of the word at it."""
    completer = _Completer(cursor, names)
    completer.complete(list(words))
    return completer.found


class _Place:
    """The cursor in a line whose words are the beginning of a form."""

    def __init__(self, page: "Page", form: Form, split: Split) -> None:
        self.page = page
        self.form = form
        self.split = split


class _Completer:
    """Completes one word."""

    def __init__(self, cursor: str, names: "Names") -> None:
        self.found = Completion()
        self._cursor = cursor
        self._names = names
        self._texts: set[str] = set()

    def complete(self, words: "list[str]") -> None:
        count = _count_leading(words)
        leading, words = words[:count], words[count:]
        if words:
            found = ([] if leading else pages_for(words)) or [MESSAGE]
            self._complete_at([*_places(found, words, leading)], offers_help=found != [MESSAGE])
            return
        places = [_Place(page, form, Split(leading, form.options)) for page, form in _leading_forms()]
        if self._cursor[:1] == "-" or any(place.split.pending for place in places):
            self._complete_at(places)
        else:
            self._first_word()

    def _complete_at(self, places: "list[_Place]", *, offers_help: bool = False) -> None:
        for place in places:
            if place.split.pending and place.split.pending.value:
                self._word(place.split.pending.value, place.split.plain)
        if any(place.split.needs_value for place in places):
            values = [place.split.pending.value for place in places if place.split.pending]
            self.found.needs_name = _are_names(value for value in values if value)
            return
        if self._cursor[:1] == "-":
            self._options(places)
            if offers_help:
                self._offer(_HELP, _HELP_PURPOSE)
            return
        expected: list[Word] = []
        for place in places:
            for word in place.form.expected(place.split.plain):
                expected.append(word)
                self._word(word, place.split.plain)
        is_complete = any(place.form.is_complete(place.split.plain) for place in places)
        self.found.needs_name = not is_complete and _are_names(expected)
        if not (self.found.candidates or self.found.also or self.found.needs_name):
            self._options(places)

    def _first_word(self) -> None:
        for name, page in pages().items():
            if " " not in name:
                self._offer(name, page.purpose)
        for kind in ("TARGET", "ALIAS"):
            self._alternative(kind, [], "")
        if "/" in self._cursor or (self._cursor and not self.found.candidates):
            self.found.also, self.found.stem = FILES, self._cursor

    def _options(self, places: "list[_Place]") -> None:
        """Offer the options that are not used yet, or the values of an option after `--name=`."""
        name, is_joined, _ = self._cursor.partition("=")
        for place in places:
            if is_joined:
                option = place.form.options.get(name)
                if option and option.value:
                    self._word(option.value, place.split.plain, f"{name}=")
                continue
            for option in dict.fromkeys(place.form.options.values()):
                if "--" not in place.split.plain and (option.is_repeated or option not in place.split.used):
                    self._offer(_shown_name(option, self._cursor), place.page.purpose_of(option))

    def _word(self, word: "Word", plain: "list[str]", head: str = "") -> None:
        """Offer what can stand in place of a word of the notation, after the `head` of the cursor's word."""
        for alternative in word.alternatives:
            if is_literal(alternative):
                page = pages().get(" ".join([*plain, alternative]))
                purpose = page.purpose if page else "print JSON" if alternative == "json" else ""
                self._offer(head + alternative, purpose)
            elif alternative in _ALSO:
                is_argument = alternative == "CMD" and plain[-1] != "--"
                self.found.also = FILES if is_argument else _ALSO[alternative]
                self.found.stem = self._cursor[len(head) :]
            elif alternative[0].isupper():
                self._alternative(alternative, plain, head)

    def _alternative(self, alternative: str, plain: "list[str]", head: str) -> None:
        """Offer the names that an alternative stands for. They can be the last ones of a list with commas."""
        is_list = alternative == "TARGET" or alternative.endswith(",…")
        typed = self._cursor[len(head) :]
        listed = typed[: typed.rfind(",") + 1] if is_list else ""
        given = listed.split(",")
        for kind in _KINDS.get(alternative, (alternative.removesuffix(",…"),)):
            name_at = next(at for at, char in enumerate(kind) if char.isupper())
            before = kind[:name_at]
            if not _agree(before, typed[len(listed) :]):
                continue
            for name, description in self._known(kind[name_at:], plain):
                if before + name not in given:
                    self._offer(head + listed + before + name, description)
        if alternative == "TARGET" and not listed:
            self._offer(head + _TEAM_CHAT, "every specialist answers")

    def _known(self, kind: str, plain: "list[str]") -> "Iterable[tuple[str, str]]":
        if kind == "COMMAND":
            return [(name, page.purpose) for name, page in pages().items() if " " not in name]
        if kind == "SUBCOMMAND":
            found = [page for page in pages_for(plain[1:2]) if " " in page.name]
            return [(page.name.partition(" ")[2], page.purpose) for page in found]
        if kind == "TOPIC":
            return [(name, title) for name, (title, _) in TOPICS.items()]
        if kind == "AGENT":
            return [(name, "") for name in _AGENTS]
        return self._names.names(kind, plain)

    def _offer(self, text: str, description: str) -> None:
        is_new = text.lower().startswith(self._cursor.lower()) and text not in self._texts
        if is_new and text.isprintable():  # others would draw on the terminal, or end the line
            self._texts.add(text)
            self.found.candidates.append(Candidate(text, _one_line(description).rstrip(".")))


def _places(found: "list[Page]", words: "list[str]", leading: "list[str]") -> "Iterator[_Place]":
    """Yield the places of the cursor in the forms of these pages that can begin with the words."""
    words = [SAME_COMMANDS.get(words[0], words[0]), *words[1:]]
    for page in found:
        for form in map(Form, page.forms):
            split = Split([*leading, *words], form.options)
            if not split.unknown and form.accepts(split.plain):
                yield _Place(page, form, split)


def _leading_forms() -> "Iterator[tuple[Page, Form]]":
    """Yield the forms whose options can precede the first word."""
    for page in (SHELL, MESSAGE):
        yield page, Form(" ".join(f"[{form}]" if form[:1] == "-" else form for form in page.forms))


def _count_leading(words: "list[str]") -> int:
    """Return how many words at the beginning are options of the shell or of a message, and their values."""
    options = {name: option for _, form in _leading_forms() for name, option in form.options.items()}
    return next((at for at in range(len(words)) if Split(words[: at + 1], options).plain), len(words))


def _shown_name(option: "Option", cursor: str) -> str:
    """Return the name of an option that is offered: the long one, unless a short one is typed."""
    fitting = [name for name in option.names if name.startswith(cursor)]
    return (fitting or list(option.names))[-1]


def _one_line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _are_names(words: "Iterable[Word]") -> bool:
    """Whether nothing but names that the hub knows can stand in place of these words."""
    kinds = [each.removesuffix(",…") for word in words for each in word.alternatives]
    return bool(kinds) and _HUB_NAMES.issuperset(kinds)


def _agree(one: str, other: str) -> bool:
    """Whether one text is the beginning of the other."""
    return one.startswith(other) or other.startswith(one)
