"""Programs and tools, and the hub's own process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Raw, field

from rhetor.codec.forms import PLAIN
from rhetor.codec.typed_json import Texts, no_object, texts
from rhetor.dialects.peer_socket import Delimiter
from rhetor.domain.command import AnnounceProgram
from rhetor.domain.program import Launch
from rhetor.errors import Unprocessable

from .common import Body, Folder, Name, NewName, Query

MOST_WORDS, MOST_VARIABLES = 10_000, 100


# the variables of a program, checked by `require_words`
_VALUE = {"type": "string", "pattern": r"^[^\x00]*$"}
_VARIABLES = {"type": "object", "propertyNames": {"pattern": r"^[^=\x00]+$"}, "additionalProperties": _VALUE}
Variables = Annotated[Raw, Meta(extra_json_schema=_VARIABLES)]


def require_words(words: Sequence[str], env: Mapping[str, str], what: str) -> None:
    """Check what a program is started with. `what`: what error messages call the words.

    Raises:
        Unprocessable: there is a NUL in a word, or the name of a variable is empty or contains `=`.
    """
    if any("\0" in word for word in (*words, *env, *env.values())):
        raise Unprocessable(f"{what} and env must not contain NUL")
    if any(not name or "=" in name for name in env):
        raise Unprocessable("the name of a variable must not be empty or contain =")


class EnvironmentBody(Body, frozen=True, kw_only=True):
    variables: Texts

    def texts(self) -> dict[str, str]:
        return texts(self.variables, "body.variables", MOST_VARIABLES)


class PromptLineBody(Body, frozen=True, kw_only=True):
    line: str


# the pattern is checked only after the number of words, because an invalid body may have a million
Word = Annotated[str, Meta(max_length=128 << 10, extra_json_schema={"pattern": r"^[^\x00]*$"})]
Side = Annotated[int, Meta(ge=1, le=10_000)]


class ProgramBody(Body, frozen=True, kw_only=True):
    """A program to start as a peer. `argv`: the program and its arguments, run without a shell; `env`: the
    program's whole environment."""

    name: NewName
    kind: Literal["terminal", "stdio"]
    argv: Annotated[list[Word], Meta(min_length=1, max_length=MOST_WORDS)]
    cwd: Folder
    env: Variables = field(default_factory=no_object)
    rows: Side = 24
    cols: Side = 80
    delimiter: Delimiter | None = None
    protocol: Literal["text", "aish-json"] = "text"
    prompt: Annotated[str, Meta(max_length=1000, extra_json_schema={"format": "regex"})] | None = None
    on_exit: Literal["survive", "reap"] = "survive"
    description: Annotated[str, Meta(max_length=1000, pattern=PLAIN)] = ""

    def command(self) -> AnnounceProgram:
        """Return the command.

        Raises:
            Unprocessable: as `require_words`.
        """
        env = texts(self.env, "body.env", MOST_WORDS)
        require_words(self.argv, env, "argv")
        return AnnounceProgram(
            self.name,
            self.kind,
            tuple(self.argv),
            Launch(self.cwd, env, self.rows, self.cols),
            self.delimiter or None,
            self.protocol,
            self.prompt,
            self.on_exit,
            self.description,
        )


class LaunchBody(Body, frozen=True, kw_only=True):
    """How to start a tool. `cwd`: the caller's folder, for programs that run there."""

    cwd: Folder | None = None
    session: Name | None = None


class EndQuery(Query, frozen=True, kw_only=True):
    """`force`: kill the program's host process if it does not answer."""

    force: bool = False


class ToolsQuery(Query, frozen=True, kw_only=True):
    """What to return of the tools. `check`: run each program's health check too."""

    check: bool = False
