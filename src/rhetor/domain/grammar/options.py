"""The options of a call, such as `-s 5`, `-x="\\r"` and `--timeout 3`: their places and their values.

Options are separate words before or after the text, and `--` ends them. Before `--`, an option never becomes
text: one that is unknown, or in the middle of the text, is an error.
"""

from .text import GrammarError, quoted
from .words import WORD, Token, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal, TypeAlias

    IfBusy: TypeAlias = Literal["queue", "refuse", "interrupt"]
    IfOffline: TypeAlias = Literal["queue", "refuse"]
    _Changes: TypeAlias = dict[str, object]

DEFAULT_WINDOW = 10
_WINDOW_DIGITS = 9

_FLAGS: "dict[str, _Changes]" = {
    "--json": {"json": True},
    "--no-stream": {"no_stream": True},
    "--quiet": {"quiet": True},
    "--raw": {"raw": True},
    "--usage": {"usage": True},
    "--if-idle": {"if_busy": "refuse"},
    "--queue": {"if_busy": "queue"},
    "--interrupt": {"if_busy": "interrupt"},
    "-C": {"continues": True},
    "--continue": {"continues": True},
}
_OPTIONAL = ("-s", "--session", "-x", "--execute")  # their value can be missing
_TEXTS = {
    "-m": "model",
    "--model": "model",
    "-S": "system",
    "--system": "system",
    "--schema": "schema",
}
# can be repeated
_FILES = {"-f": "files", "--file": "files", "-a": "attachments", "--attachment": "attachments"}
_VALUED = ("--session-id", "--timeout", "--if-offline", "-d", "--delimiter", *_TEXTS, *_FILES, *_OPTIONAL)
_NO_LOG = "everything is in the log, from which answers, search and history are read; there is no --no-log"
_IF_BUSY_FLAGS = {"refuse": "--if-idle", "queue": "--queue", "interrupt": "--interrupt"}
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}
_ESCAPED = {char: "\\" + letter for letter, char in _ESCAPES.items()} | {"\\": "\\x5c"}


class Options(Value):
    """The options of a call.

    `context_window`: keep the conversation, and send this many earlier messages with each one; None keeps
    none. `delimiter`: the characters to send after the text to a wrapped program, None for the peer's own; a
    delimiter implies `execute`. `timeout`: seconds, more than 0. `model` and `system`: the model and the
    system prompt for this message. `files`: paths of text files that follow the message. `attachments`: paths
    and URLs of images, PDF and audio files. `schema`: the JSON Schema of the answer, or the path of its file.
    `continues`: the call continues the last conversation with the peer. `if_offline`: whether the message
    waits for a machine that is not connected.
    """

    __slots__ = (
        "attachments",
        "context_window",
        "continues",
        "delimiter",
        "execute",
        "files",
        "if_busy",
        "if_offline",
        "json",
        "model",
        "no_stream",
        "quiet",
        "raw",
        "schema",
        "session_id",
        "system",
        "timeout",
        "usage",
    )
    context_window: int | None
    session_id: str | None
    execute: bool
    delimiter: str | None
    if_busy: "IfBusy"
    if_offline: "IfOffline"
    timeout: float | None
    json: bool
    no_stream: bool
    quiet: bool
    raw: bool
    usage: bool
    model: str | None
    system: str | None
    files: tuple[str, ...]
    attachments: tuple[str, ...]
    schema: str | None
    continues: bool

    def __init__(
        self,
        *,
        context_window: int | None = None,
        session_id: str | None = None,
        execute: bool = False,
        delimiter: str | None = None,
        if_busy: "IfBusy" = "queue",
        if_offline: "IfOffline" = "refuse",
        timeout: float | None = None,
        json: bool = False,
        no_stream: bool = False,
        quiet: bool = False,
        raw: bool = False,
        usage: bool = False,
        model: str | None = None,
        system: str | None = None,
        files: "Sequence[str]" = (),
        attachments: "Sequence[str]" = (),
        schema: str | None = None,
        continues: bool = False,
    ) -> None:
        self._fill(
            context_window=context_window,
            session_id=session_id,
            execute=execute or delimiter is not None,
            delimiter=delimiter,
            if_busy=if_busy,
            if_offline=if_offline,
            timeout=timeout,
            json=json,
            no_stream=no_stream,
            quiet=quiet,
            raw=raw,
            usage=usage,
            model=model,
            system=system,
            files=tuple(files),
            attachments=tuple(attachments),
            schema=schema,
            continues=continues,
        )

    def __str__(self) -> str:
        """Return the canonical words, with `=` before each value, so that they can precede any text."""
        return " ".join(self._words())

    def over(self, defaults: "Options") -> "Options":
        """Return these options, with values from `defaults` for options that are not set here."""
        plain = Options()
        changes = {
            name: getattr(source, name)
            for source in (defaults, self)
            for name in self.__slots__
            if getattr(source, name) != getattr(plain, name)
        }
        return Options(**changes)

    def without(self, *names: str) -> "Options":
        """Return a copy in which the options with these names are not set."""
        return Options(**{name: getattr(self, name) for name in self.__slots__ if name not in names})

    def _words(self) -> "list[str]":
        words: list[str] = []
        if self.context_window is not None:
            words.append(f"-s={self.context_window}")
        if self.session_id is not None:
            words.append(f"--session-id={quoted(self.session_id)}")
        if self.delimiter is not None:
            words.append(f"-x={quoted(_escaped(self.delimiter))}")
        elif self.execute:
            words.append("-x")
        if self.if_busy != "queue":
            words.append(_IF_BUSY_FLAGS[self.if_busy])
        if self.if_offline != "refuse":
            words.append(f"--if-offline={self.if_offline}")
        words += [
            f"{name}={quoted(text)}" for name, text in (("-m", self.model), ("-S", self.system)) if text
        ]
        words += [f"-f={quoted(path)}" for path in self.files]
        words += [f"-a={quoted(place)}" for place in self.attachments]
        if self.schema is not None:
            words.append(f"--schema={quoted(self.schema)}")
        if self.timeout is not None:
            words.append(f"--timeout={self.timeout!r}")
        flags = {
            "--json": self.json,
            "--no-stream": self.no_stream,
            "--quiet": self.quiet,
            "--raw": self.raw,
            "--usage": self.usage,
            "--continue": self.continues,
        }
        return words + [flag for flag, is_set in flags.items() if is_set]


def parse_words(words: "Sequence[str]") -> tuple[Options, str]:
    """Parse the options and the text of an argv after its target: `-s 5 "msg" -x`. Quotes are not resolved.

    Raises:
        GrammarError: an option before the text is invalid; `column` counts as if the words were joined by
            single spaces.
    """
    return interpret(_tokens(words))


def leading_options(words: "Sequence[str]") -> tuple[Options, int]:
    """Parse the options at the beginning of an argv; return them and the number of their words.

    Raises:
        GrammarError: one of them is invalid.
    """
    changes, width = _leading(_tokens(words))
    return _options(changes), width


def interpret(words: "Sequence[Token]") -> tuple[Options, str]:
    """Parse the options and the text of a call after its target; the text's words are joined by one space.

    Raises:
        GrammarError: an option is invalid, or stands in the middle of the text.
    """
    dashes = next((at for at, word in enumerate(words) if _is_end_of_options(word)), len(words))
    head, after_dashes = words[:dashes], words[dashes + 1 :]
    changes, begin = _leading(head)
    end = next((at for at in range(begin, len(head)) if _looks_like_option(head[at])), dashes)
    at = option = end
    while at < len(head):
        if not _looks_like_option(head[at]):
            raise GrammarError(_unexpected(head[at], head[option]), head[at].column)
        changed, width = _read(head, at, is_last=at + 2 == len(words))
        _add(changes, changed)
        option, at = at, at + width
    return _options(changes), " ".join(word.text for word in (*head[begin:end], *after_dashes))


def _unexpected(word: Token, option: Token) -> str:
    """Return the message for a word that neither belongs to the option before it nor is in the text."""
    name = option.text.partition("=")[0]
    if option.text in ("-s", "--session", "-x", "--execute"):
        return f"{word.text!r} after {name} is neither its value nor text; write {name}={word.text}"
    return f"{word.text!r} after {name} is not an option; write -- before text that contains {name}"


def _tokens(words: "Sequence[str]") -> "list[Token]":
    tokens: list[Token] = []
    at = 0
    for word in words:
        tokens.append(Token(WORD, word, at, at + len(word)))
        at += len(word) + 1
    return tokens


def _options(changes: "_Changes") -> Options:
    return Options(**changes)  # type: ignore[arg-type]  # the names and types are those of the tables here


def _leading(words: "Sequence[Token]") -> "tuple[_Changes, int]":
    changes: _Changes = {}
    at = 0
    while at < len(words) and _looks_like_option(words[at]):
        changed, width = _read(words, at, is_last=False)
        _add(changes, changed)
        at += width
    return changes, at


def _add(changes: "_Changes", changed: "_Changes") -> None:
    """Add what an option changes. A later option replaces an earlier one, but files are collected."""
    for name in ("files", "attachments"):
        if name in changed and name in changes:
            changed = {name: (*changes[name], *changed[name])}  # type: ignore[misc]
    changes |= changed


def _is_end_of_options(word: Token) -> bool:
    return word.bare and word.text == "--"


def _looks_like_option(word: Token) -> bool:
    """Whether the word is an option. `-5`, a single `-` and quoted words are text."""
    return word.bare and word.text[:1] == "-" and word.text.lstrip("-")[:1].isalpha()


def _read(words: "Sequence[Token]", at: int, *, is_last: bool) -> "tuple[_Changes, int]":
    """Return what the option at `at` changes, and how many words it has.

    `is_last`: it follows the text, and one more word follows it, which can be the delimiter of `-x`.
    """
    word = words[at]
    name, given, value = word.text.partition("=")
    following = words[at + 1] if at + 1 < len(words) else None
    if name in _FLAGS and not given:
        return _FLAGS[name], 1
    if name in ("-s", "--session"):
        if given and _is_window(value):
            return {"context_window": int(value)}, 1
        if given:
            return {"session_id": _session(value, word)}, 1
        if following is not None and following.bare and _is_window(following.text):
            return {"context_window": int(following.text)}, 2
        if following is not None and following.bare and _is_session_name(following.text):
            return {"session_id": following.text}, 2
        return {"context_window": DEFAULT_WINDOW}, 1
    if name in ("-x", "--execute"):
        if given:
            return {"execute": True, "delimiter": _delimiter(value, word)}, 1
        if is_last and following and not _looks_like_option(following):
            return {"execute": True, "delimiter": _delimiter(following.text, word)}, 2
        if not is_last and following and _is_delimiter(following.text):
            raise GrammarError(f"write the delimiter as {name}={following.text}", word.column)
        return {"execute": True}, 1
    return _read_valued(name, value if given else None, word, following)


def _read_valued(
    name: str, value: str | None, word: Token, following: Token | None
) -> "tuple[_Changes, int]":
    if name == "--no-log":
        raise GrammarError(_NO_LOG, word.column)
    if name not in _VALUED or name in _OPTIONAL:
        wrong = f"{name} takes no value" if name in _FLAGS else f"unknown option {name}{_nearest(name)}"
        raise GrammarError(wrong, word.column)
    width = 1
    if value is None:
        if following is None or _looks_like_option(following) or _is_end_of_options(following):
            raise GrammarError(f"{name} needs a value", word.column)
        value, width = following.text, 2
    if name == "--session-id":
        return {"session_id": _session(value, word)}, width
    if not value and (name in _TEXTS or name in _FILES):
        raise GrammarError(f"the value of {name} must not be empty", word.column)
    if name in _TEXTS:
        return {_TEXTS[name]: value}, width
    if name in _FILES:
        return {_FILES[name]: (value,)}, width
    if name == "--if-offline":
        if value not in ("queue", "refuse"):
            raise GrammarError(f"--if-offline must be queue or refuse, not {value!r}", word.column)
        return {"if_offline": value}, width
    if name == "--timeout":
        return {"timeout": _seconds(value, word)}, width
    return {"execute": True, "delimiter": _delimiter(value, word)}, width


def _nearest(name: str) -> str:
    """Return the option that this one is probably meant to be, as a question; empty if none is near."""
    from difflib import get_close_matches  # imports `re`, so only for an error

    near = get_close_matches(name, [*_FLAGS, *_VALUED], n=1) if name.startswith("--") else ()
    return f"; did you mean {near[0]}?" if near else ""


def _is_delimiter(text: str) -> bool:
    """Whether the word can hardly be text: it consists of escape sequences or semicolons."""
    head, *escapes = text.split("\\")
    if not escapes:
        return bool(text) and not text.strip(";")
    return not head and all(part in _ESCAPES or (part[:1] == "x" and len(part) == 3) for part in escapes)


def _is_window(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _WINDOW_DIGITS


def _is_session_name(text: str) -> bool:
    """Whether the word after `-s` is its value. A name with other characters is written `-s=NAME`."""
    return text[:1].isalnum() and all(char.isalnum() or char in "-_." for char in text)


def _session(text: str, word: Token) -> str:
    if not text:
        raise GrammarError("the name or id of a session must not be empty", word.column)
    return text


def _seconds(text: str, word: Token) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise GrammarError(f"a timeout must be a number of seconds above 0, not {text!r}", word.column)
    return seconds


def _delimiter(text: str, word: Token) -> str:
    """Resolve the escape sequences `\\n \\r \\t \\0 \\xHH`; any other backslash stays."""
    head, *parts = text.split("\\")
    pieces = [head]
    for part in parts:
        if part[:1] == "x":
            digits = part[1:3]
            if len(digits) != 2 or digits.strip("0123456789abcdefABCDEF"):
                raise GrammarError("\\x in a delimiter must have two hexadecimal digits", word.column)
            pieces.append(chr(int(digits, 16)) + part[3:])
        elif part[:1] in _ESCAPES:
            pieces.append(_ESCAPES[part[0]] + part[1:])
        else:
            pieces.append("\\" + part)
    return "".join(pieces)


def _escaped(delimiter: str) -> str:
    return "".join(_ESCAPED.get(char, char) for char in delimiter)
