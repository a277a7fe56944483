"""The notation of usage lines, such as `sessions fork SESSION [NEW] [--at CHECKPOINT] [--json]`.

- Words in lower case are typed as they are. `a|b` is a choice of words, ` | ` in parentheses one of series.
- Words in upper case stand for what the user chooses: `PEER`, `SESSION`. `TOOL,…` is a list with commas.
- `[…]` can be left out, and `…` repeats what precedes it: a word, or a group in brackets or parentheses.
- `--name VALUE` is an option with its value, in any place. `-n|--name` are two names of one option,
  `--any|--all` are two options. An option without a value stands in brackets, or at the end.
- `[json]` can also be written `--json`. `"text"` is free text, of one or more words. `-- CMD…` is a
  command line.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Protocol

    class Node(Protocol):
        """A part of a usage line."""

        def ends(self, words: "list[str]", begin: int, expected: "list[Word]") -> "set[int]":
            """Return where the part can end if it begins at `begin`. If the words run out, add the words of
            the notation that can follow to `expected`."""
            ...


_CLOSING = {"[": "]", "(": ")"}
_END, _CHOICE, _REPEAT = "", "|", "…"
_JSON = "json"


class Word:
    """A word at its place: one of the alternatives, which are literal or stand for a name or a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.alternatives = (text,) if text[:1] == '"' else tuple(text.split("|"))

    def ends(self, words: "list[str]", begin: int, expected: "list[Word]") -> "set[int]":
        if begin == len(words):
            expected.append(self)
            return set()
        if self.text[0] == '"':  # text can be several words
            return set(range(begin + 1, len(words) + 1))
        return {begin + 1} if self.accepts(words[begin]) else set()

    def accepts(self, word: str) -> bool:
        return any(word == each or not is_literal(each) for each in self.alternatives)


class Series:
    """Parts that follow each other."""

    def __init__(self, nodes: "list[Node]") -> None:
        self.nodes = nodes

    def ends(self, words: "list[str]", begin: int, expected: "list[Word]") -> "set[int]":
        places = {begin}
        for node in self.nodes:
            places = {end for place in places for end in node.ends(words, place, expected)}
        return places


class Choice:
    """One of several series."""

    def __init__(self, series: "list[Series]") -> None:
        self._series = series
        self.has_words = any(each.nodes for each in series)

    def ends(self, words: "list[str]", begin: int, expected: "list[Word]") -> "set[int]":
        return {end for node in self._series for end in node.ends(words, begin, expected)}


class Omissible:
    """A part that can be left out."""

    def __init__(self, node: "Node") -> None:
        self.node = node

    def ends(self, words: "list[str]", begin: int, expected: "list[Word]") -> "set[int]":
        return {begin} | self.node.ends(words, begin, expected)


class Repeated:
    """A part that can be repeated."""

    def __init__(self, node: "Node") -> None:
        self.node = node

    def ends(self, words: "list[str]", begin: int, expected: "list[Word]") -> "set[int]":
        found: set[int] = set()
        places = {begin}
        while places:
            places = {end for each in places for end in self.node.ends(words, each, expected)} - found
            found |= places
        return found


class Option:
    """An option: its names, and its value if it has one. `is_joined`: the value can only follow a `=`."""

    def __init__(
        self, names: "tuple[str, ...]", value: "Word | None", *, may_lack_value: bool, is_joined: bool
    ) -> None:
        self.names = names
        self.value = value
        self.may_lack_value = may_lack_value
        self.is_joined = is_joined
        self.is_repeated = False

    def __str__(self) -> str:
        names = ", ".join(self.names)
        if self.value is None:
            return names
        if self.is_joined:
            return f"{names}[={self.value.text}]"
        return f"{names} [{self.value.text}]" if self.may_lack_value else f"{names} {self.value.text}"


class Form:
    """A usage line: its words in their order, and its options by each of their names."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.options: dict[str, Option] = {}
        self._tokens = list(_split(text))
        self._words = self._series(_END)

    def expected(self, words: "list[str]") -> "list[Word]":
        """Return what can follow these words, which are those of the command line without its options."""
        found: list[Word] = []
        self._words.ends(words, 0, found)
        return found

    def accepts(self, words: "list[str]") -> bool:
        """Whether a command line can begin with these words."""
        return bool(self.expected(words)) or self.is_complete(words)

    def is_complete(self, words: "list[str]") -> bool:
        """Whether these are all words of a command line."""
        return len(words) in self._words.ends(words, 0, [])

    def _series(self, closing: str) -> "Choice":
        """Parse up to the token `closing`, and remove these tokens."""
        choices: list[Series] = []
        nodes: list[Node] = []
        added: list[Option] = []
        while (token := self._next()) != closing:
            if token == _CHOICE:
                choices.append(Series(nodes))
                nodes = []
            elif token == _REPEAT:
                for option in added:
                    option.is_repeated = True
                if not added:
                    nodes[-1] = Repeated(nodes[-1])
            elif token in _CLOSING:
                count = len(self.options)
                group = self._series(_CLOSING[token])
                added = [] if group.has_words else list(self.options.values())[count:]
                if group.has_words:
                    nodes.append(Omissible(group) if token == "[" else group)
            elif token[0] == "-" and token != "--":
                added = self._options(token)
            else:
                added = []
                nodes.append(Word(token))
                if token == _JSON and closing == "]":
                    self._options("--json")
        return Choice([*choices, Series(nodes)])

    def _options(self, token: str) -> "list[Option]":
        """Add an option, whose value follows its token, and return it; or several alternatives."""
        token, is_joined, joined = token.partition("[=")
        value, may_lack_value = Word(joined.removesuffix("]")) if is_joined else None, bool(is_joined)
        if not is_joined and _is_value(self._peek(0)):
            value = Word(self._next())
        elif not is_joined and self._peek(0) == "[" and _is_value(self._peek(1)) and self._peek(2) == "]":
            value, may_lack_value = Word(self._peek(1)), True
            del self._tokens[:3]
        names = token.split("|")
        are_synonyms = names[0][:2] != "--"
        options = [
            Option(tuple(each), value, may_lack_value=may_lack_value, is_joined=bool(is_joined))
            for each in ([names] if are_synonyms else [[name] for name in names])
        ]
        self.options |= {name: option for option in options for name in option.names}
        return options

    def _next(self) -> str:
        return self._tokens.pop(0) if self._tokens else _END

    def _peek(self, count: int) -> str:
        return self._tokens[count] if count < len(self._tokens) else _END


class Split:
    """The words of a command line, split by the options that it can have.

    `plain` are the words that are neither options nor their values, with the first `--`. `used` are the
    options, and `pending` is the last word if it is an option whose value can follow. `unknown` are words
    that look like options.
    """

    def __init__(self, words: "Sequence[str]", options: "Mapping[str, Option]") -> None:
        self.plain: list[str] = []
        self.used: list[Option] = []
        self.unknown: list[str] = []
        self.pending: Option | None = None
        for word in words:
            self._add(word, options)

    @property
    def needs_value(self) -> bool:
        return self.pending is not None and not self.pending.may_lack_value

    def _add(self, word: str, options: "Mapping[str, Option]") -> None:
        name, is_joined, _ = word.partition("=")
        if "--" in self.plain:
            self.plain.append(word)
        elif self.pending and (self.needs_value or not looks_like_option(word)):
            self.pending = None
        elif option := options.get(name):
            self.used.append(option)
            self.pending = option if option.value and not option.is_joined and not is_joined else None
        else:
            self.pending = None
            (self.unknown if looks_like_option(word) else self.plain).append(word)


def looks_like_option(word: str) -> bool:
    """Whether a word is an option if it stands before `--`. `-5` and `-` are text."""
    return word[:1] == "-" and word.lstrip("-")[:1].isalpha()


def is_literal(text: str) -> bool:
    """Whether an alternative is typed as it is."""
    return text[:1].islower() or text == "--"


def _is_value(token: str) -> bool:
    return bool(token) and token[0] not in '[]()|…"-'


def _split(text: str) -> "Iterator[str]":
    """Yield the tokens: brackets, `|` between blanks, `…` after a word or group, and words."""
    at = 0
    while at < len(text):
        if text[at] == " ":
            at += 1
        elif text[at] in "[]()|…":
            yield text[at]
            at += 1
        else:
            end = _word_end(text, at)
            word = text[at:end]
            is_repeated = word[-1] == _REPEAT and word[-2] != ","
            yield word.removesuffix(_REPEAT) if is_repeated else word
            if is_repeated:
                yield _REPEAT
            at = end


def _word_end(text: str, begin: int) -> int:
    """Return where a word ends: at a blank or a bracket that it has not opened. Quotes hold it together."""
    if text[begin] == '"':
        return text.index('"', begin + 1) + 1
    depth = 0
    for at in range(begin, len(text)):
        depth += {"[": 1, "]": -1}.get(text[at], 0)
        if text[at] in " ()" or depth < 0:
            return at
    return len(text)
