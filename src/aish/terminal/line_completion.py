"""What Tab completes in a line of the grammar: commands with all their words, targets, options, names, files,
programs and variables.

The catalogue says what a command takes, `names` what the hub knows, and this machine has the rest.
"""

import re

from aish.catalogue import SAME_COMMANDS, pages
from aish.catalogue.completion import FOLDERS, PROGRAMS, complete
from aish.terminal.candidates import Candidate
from aish.terminal.files import Programs, paths, variables
from aish.terminal.slash import COMMANDS as SLASH_COMMANDS
from rhetor.domain.grammar.cursor import last_stage, open_quote, split, typed_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aish.catalogue.completion import Names

_BUILTINS = {
    "cd": "change the folder",
    "exit": "leave the shell",
    "export": "set variables for programs and for $NAME",
    "quit": "leave the shell",
}
_VARIABLE = re.compile(r"\$\{?(\w*)\Z")
_REDIRECTION = re.compile(r"(<|>>?)\Z")
_SPECIAL = re.compile(r"([\s\\'\"$`|;&<>(){}*?#])")
_QUOTED = re.compile(r"([\\\"$`])")


class LineCompletion:
    """Completes lines at the prompt."""

    def __init__(self, names: "Names") -> None:
        self._names = names
        self._programs = Programs()

    def complete(self, text: str) -> "list[Candidate]":
        """Return what could stand at the end of the text, which is before the cursor."""
        quote = open_quote(text)
        if quote != "'" and (found := _VARIABLE.search(text)):
            return _variables(found)
        words, cursor = split(last_stage(text))
        if words[:1] == ["aish"]:
            words = words[1:]
        typed = typed_word(text)
        place = _Place(cursor, typed, quote)
        if quote and " " in cursor:  # within a message
            place.add_files(cursor.rpartition(" ")[2])
        elif found := _REDIRECTION.search(words[-1] if words else ""):
            place.add_files(cursor)
        elif cursor[:1] in ("<", ">"):
            place.add_files(cursor.lstrip("<>"))
        elif words and words[0] in _BUILTINS:
            self._after_builtin(words[0], place)
        elif words and self._is_program(words[0]):
            place.add_files(cursor)
        else:
            self._from_catalogue(words, place)
        return place.found

    def _from_catalogue(self, words: "Sequence[str]", place: "_Place") -> None:
        completion = complete(words, place.cursor, self._names)
        for each in completion.candidates:
            place.add(each.text, each.description)
        if not words:
            self._first_word(place)
        elif completion.also == PROGRAMS:
            self._add_programs(place)
            place.add_files(completion.stem)
        elif completion.also:
            place.add_files(completion.stem, folders_only=completion.also == FOLDERS)
        elif not (place.found or completion.needs_name or place.cursor[:1] == "-"):
            place.add_files(place.cursor)

    def _first_word(self, place: "_Place") -> None:
        for name, about in _BUILTINS.items():
            if name.startswith(place.cursor):
                place.add(name, about)
        if "/" in place.cursor:
            place.add_files(place.cursor)
        elif place.cursor:
            self._add_programs(place)

    def _add_programs(self, place: "_Place") -> None:
        for name in self._programs.names(place.cursor) if place.cursor and "/" not in place.cursor else ():
            place.add(name, "a program")

    def _after_builtin(self, name: str, place: "_Place") -> None:
        if name == "cd":
            place.add_files(place.cursor, folders_only=True)
        elif name == "export":
            for variable in variables(place.cursor):
                place.add(variable, goes_on=True)

    def _is_program(self, word: str) -> bool:
        """Whether a word is neither a command nor something that takes a message, so files follow it."""
        if (
            word in pages()
            or word in SAME_COMMANDS
            or word[:1] in "@-"
            or word.startswith("team")
            or "," in word
        ):
            return False
        return word.lower() not in {name.lower() for name, _ in self._names.names("PEER", ())}


def complete_message(text: str, names: "Names") -> "list[Candidate]":
    """Return what could stand at the end of a message in a conversation: names of peers, or files; and of a
    command such as `/model`: its name, and what follows it."""
    word = re.split(r"\s", text)[-1]
    command = text.split(" ")[0]
    place = _Place(word, word, "")
    for name, about in _words_of_message(text, command, word, names):
        if name.startswith(word):
            place.add(name, about)
    if not place.found and command != "/model":
        place.add_files(word)
    return place.found


def _words_of_message(text: str, command: str, word: str, names: "Names") -> "Iterable[tuple[str, str]]":
    if text == word and word[:1] == "/":
        return [(name, about) for name, (_, about) in SLASH_COMMANDS.items()]
    if command == "/model":
        return names.names("MODEL", ())
    return names.names("PEER", ()) if word and command not in SLASH_COMMANDS else ()


class _Place:
    """The word at the cursor. `cursor`: what is typed of it, without quotes; `typed`: with them."""

    def __init__(self, cursor: str, typed: str, quote: str) -> None:
        self.cursor = cursor
        self.found: list[Candidate] = []
        self._typed = typed
        self._quote = quote
        self._texts: set[str] = set()

    def add(self, text: str, about: str = "", *, shown: str = "", goes_on: bool = False) -> None:
        """Add a word in place of that at the cursor. `goes_on`: no blank follows it."""
        if (
            text in self._texts or not text.isprintable()
        ):  # others would end the line, or draw on the terminal
            return
        self._texts.add(text)
        if text.startswith(self.cursor):  # what is typed stays as it is
            whole = self._typed + self._escaped(text[len(self.cursor) :])
        else:
            whole = self._quote + self._escaped(text)
        end = "" if goes_on or text.endswith(("=", ":", "/")) else f"{self._quote} "
        self.found.append(Candidate(whole, shown or text, about, len(self._typed), end))

    def add_files(self, stem: str, *, folders_only: bool = False) -> None:
        """Add the files whose paths begin with the stem, which is the end of the word at the cursor."""
        head = self.cursor[: len(self.cursor) - len(stem)]
        for path in paths(stem, folders_only=folders_only):
            name = path.rstrip("/").rpartition("/")[2]
            self.add(head + path, shown=name + path[len(path.rstrip("/")) :], goes_on=path.endswith("/"))

    def _escaped(self, text: str) -> str:
        if self._quote == "'":
            return text.replace("'", "'\\''")
        return (_QUOTED if self._quote else _SPECIAL).sub(r"\\\1", text)


def _variables(found: "re.Match[str]") -> "list[Candidate]":
    begin = found[1]
    closing = "}" if "{" in found[0] else ""
    names = variables(begin)
    return [Candidate(name + closing, name, "", len(begin), "") for name in names]
