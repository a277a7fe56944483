"""Resolves the first word of a stage: it is a command, a peer, an alias, or a program, in this order."""

# ruff: noqa: PTH111, PTH113, PTH118
import os

from aish.commands import COMMANDS
from aish.exits import Failure, unknown
from aish.turns.prepared import prepared
from aish.turns.steps import TEAM_CHAT
from rhetor.domain.grammar import Call, Group, Options, Stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias, TypeVar

    from aish.client.hub import Hub
    from rhetor.domain.grammar.text import Lookup

    Answer = TypeVar("Answer")
    Resolved: TypeAlias = "Command | Peers | Program"

# words that `/bin/sh` understands without a file on the PATH
_SH_WORDS = frozenset(
    (
        *("!", ".", ":", "[", "alias", "case", "command", "echo", "eval", "exec", "export", "false", "for"),
        *("hash", "if", "kill", "printf", "pwd", "read", "readonly", "set", "test", "time", "times", "trap"),
        *("true", "type", "ulimit", "umask", "unset", "until", "while"),
    )
)


class Command:
    """A stage that is a command of the shell, or an alias."""

    def __init__(self, stage: Stage) -> None:
        self.words = [stage.word, *stage.arguments]
        self.raw = stage.raw


class Peers:
    """A stage that peers answer: the peer of one call, or those of a group."""

    def __init__(self, calls: "list[Call]") -> None:
        self.calls = calls


class Program:
    """A stage that is text for `/bin/sh`."""

    def __init__(self, raw: str) -> None:
        self.raw = raw


class Resolver:
    """Resolves the stages of one line. It asks the hub once, and only if a word could be a peer. `lookup`
    returns the values of variables in the words of commands and of calls to peers. `inside_alias`: the line
    is that of an alias, which calls no other alias."""

    def __init__(
        self, hub: "Hub", defaults: Options, lookup: "Lookup", *, inside_alias: bool = False
    ) -> None:
        self._hub = hub
        self._defaults = defaults
        self._lookup = lookup
        self._names: frozenset[str] | None = None
        self._aliases: dict[str, str] | None = {} if inside_alias else None

    def resolve(self, stage: Stage | Group) -> "Resolved":
        """Determine whether a stage is a command or an alias, a call to peers, or a program.

        Raises:
            Failure: the word is unknown, or the hub cannot be reached.
            GrammarError: the word is a peer, and the rest of the stage is not a valid call; or a variable is
                not set.
        """
        if isinstance(stage, Group):
            return Peers([Call(target, "", self._defaults) for target in stage.targets])
        word = stage.word
        if stage.raw.startswith("$"):
            word = "".join(stage.expanded(self._lookup).word.split()[:1])  # `sh` splits the value, too
        self.require(word)
        if word in COMMANDS:
            return Command(stage.expanded(self._lookup))
        if self.is_peer(word):
            call = stage.expanded(self._lookup).call()
            call = Call(call.target, call.text, call.options.over(self._defaults))
            return Peers([prepared(self._hub, call)])
        return Program(stage.raw) if self.alias(word) is None else Command(stage.expanded(self._lookup))

    def require(self, word: str) -> None:
        """Check that a word is a command, an alias, a peer or a program.

        Raises:
            Failure: it is unknown, or the hub cannot be reached.
        """
        known = word in COMMANDS or self.is_peer(word) or self.alias(word) is not None
        if not (known or _is_program(word)):
            raise unknown(word)

    def alias(self, word: str) -> str | None:
        """Return the line of an alias, or None if there is none of this name.

        Raises:
            Failure: the hub cannot be reached, and the word is no program either.
        """
        if not _could_be_peer(word):
            return None
        if self._aliases is None:
            from aish.language.aliases import aliases

            self._aliases = self._asked(aliases, word)
        return self._aliases.get(word) if self._aliases else None

    def is_peer(self, word: str) -> bool:
        """Whether the word names a peer, a capability or a team.

        Raises:
            Failure: the hub cannot be reached, and the word is no program either.
        """
        if word.startswith(("@", "team:")) or word == TEAM_CHAT:
            return True
        if not _could_be_peer(word):
            return False
        if self._names is None:
            self._names = self._asked(peer_names, word)
        if self._names is None:
            return False
        name = word.lower()  # names ignore case
        if name in self._names or canonical_name(name) in self._names:
            return True
        # without its machine, a peer of another machine does not come before a program of this one
        return any(each.startswith(f"{name}@") for each in self._names) and not _is_program(word)

    def _asked(self, ask: "Callable[[Hub], Answer]", word: str) -> "Answer | None":
        """Ask the hub. Return None if it cannot be reached, but the word is a program: `ls` needs no hub.

        Raises:
            Failure: the hub cannot be reached, and the word is no program.
        """
        try:
            return ask(self._hub)
        except Failure:
            if _is_program(word):
                return None
            raise


def peer_names(hub: "Hub") -> frozenset[str]:
    """Return the ids of all peers that take messages, in lower case.

    Raises:
        Failure: the hub cannot be reached.
    """
    peers = hub.ask("GET", "/api/v2/ai")["peers"]
    return frozenset(str(peer["id"]).lower() for peer in peers if peer.get("websocket_supported", True))


def canonical_name(word: str) -> str:
    """Return the name without `-ai` or `-ci`: `apollo-ai` and `apollo-ci` are other names of `apollo`."""
    return word.removesuffix("-ai") if word.endswith("-ai") else word.removesuffix("-ci")


def _could_be_peer(word: str) -> bool:
    name, at, machine = word.partition("@")
    return name[:1].isalpha() and _is_plain(name) and (not at or (machine != "" and _is_plain(machine)))


def _is_plain(text: str) -> bool:
    return all(char.isalnum() or char in "-_." for char in text)


def _is_program(word: str) -> bool:
    word = word.partition("&")[0]  # in sh, it ends the word: `sleep 5& wait`
    name, assigns, _ = word.partition("=")
    if word[:1] in ("(", "{") or (assigns and name.isidentifier()) or "".join(word.split()[:1]) in _SH_WORDS:
        return True
    if "/" in word:
        return _is_executable(os.path.expanduser(word))
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return any(_is_executable(os.path.join(folder or ".", word)) for folder in folders)


def _is_executable(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)
