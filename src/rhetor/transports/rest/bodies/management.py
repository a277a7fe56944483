"""The bodies of front ends: their sessions, projects, MCP servers and budgets; and tests of notifications."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, field

from rhetor.codec.forms import form
from rhetor.codec.typed_json import no_object, texts
from rhetor.dialects.peer_socket import Id
from rhetor.domain.budget import MEASURES, NAME, Budget
from rhetor.domain.command import StartSession
from rhetor.domain.permission import Rules
from rhetor.domain.project import ProjectSettings
from rhetor.domain.rule_commands import AddToolServer
from rhetor.domain.session import Voice
from rhetor.domain.tool_server import ToolServer
from rhetor.errors import Unprocessable

from .common import AN_URL, Body, Model, Name, NewName, Text, one_of, some_of
from .programs import MOST_VARIABLES, Variables, Word, require_words


class ManagedSessionBody(Body, frozen=True, kw_only=True):
    """A session that a front end opens. `specialist_id`: by default, the default peer of the project, or else
    Claude Code. `prompt`: the first message. `model`: replaces the specialist's own."""

    specialist_id: Id | None = None
    prompt: Text | None = None
    model: Model | None = None
    project_id: Id | None = None
    name: Name | None = None
    command_id: Id | None = None

    def command(self, peer: str, key: str | None) -> StartSession:
        return StartSession(
            peer,
            name=self.name,
            project_id=self.project_id,
            command_id=key or self.command_id,
            voice=Voice(model=self.model) if self.model is not None else None,
        )

    def prompt_key(self, key: str | None) -> str | None:
        """Return the idempotency key of the first message; None if the request has none."""
        key = key or self.command_id
        return f"{key}/prompt" if key is not None else None


# `\s` alone is not the same set of characters in Python and in JavaScript, which JSON Schema follows
_SPACES = r"\s\x1c-\x1f\x85\ufeff"


class ToolServerBody(Body, frozen=True, kw_only=True):
    """An MCP server: a `command` (a program and its arguments, run without a shell) or a `url`. `approve`:
    the tools that need a person's approval, or `all`."""

    constraints = one_of(command={"type": "array", "minItems": 1}, url={"type": "string"})
    name: NewName
    command: Annotated[list[Word], Meta(max_length=1000)] = field(default_factory=list)
    url: Annotated[str, form(rf"^https?://[^{_SPACES}@]+$", AN_URL, max_length=2000)] | None = None
    env: Variables = field(default_factory=no_object)
    allow_private: bool = False
    approve: Annotated[list[Name], Meta(max_length=1000)] | Literal["all"] = field(default_factory=list)

    def command_to_add(self) -> AddToolServer:
        """Return the command.

        Raises:
            Unprocessable: there is neither a command nor a URL, or both; or as `require_words`.
        """
        if bool(self.command) == bool(self.url):
            raise Unprocessable("body: give either command or url")
        env = texts(self.env, "body.env", MOST_VARIABLES)
        require_words(self.command, env, "command")
        approve: tuple[str, ...] | Literal["all"] = "all" if self.approve == "all" else tuple(self.approve)
        server = ToolServer(
            self.name,
            tuple(self.command),
            env,
            url=self.url,
            allow_private=self.allow_private,
            approve=approve,
        )
        return AddToolServer(server)


Rule = Annotated[
    str,
    form(
        rf"^[^{_SPACES}()*]*\*?$(?!\n)",
        "must be the name of a tool; only its end can be `*`",
        min_length=1,
        max_length=200,
    ),
]
RuleList = Annotated[list[Rule], Meta(max_length=1000)]


class RulesBody(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules that answer permission requests, by the names of tools."""

    allow: RuleList = field(default_factory=list)
    ask: RuleList = field(default_factory=list)
    deny: RuleList = field(default_factory=list)


class ProjectSettingsBody(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Defaults of a project's sessions. A setting that is left out has no value."""

    default_peer: Id | None = None
    model: Model | None = None
    permissions: RulesBody = field(default_factory=RulesBody)
    mcp_servers: Annotated[list[Name], Meta(max_length=100)] = field(default_factory=list)

    def settings(self) -> ProjectSettings:
        given = self.permissions
        rules = Rules(tuple(given.allow), tuple(given.ask), tuple(given.deny))
        return ProjectSettings(self.default_peer, self.model, rules, tuple(self.mcp_servers))


class ProjectBody(Body, frozen=True, kw_only=True):
    """A project. `path`: an existing folder under one of `projects.roots`."""

    name: NewName
    path: Annotated[
        str, form(r"^[/~][^\x00]*$", "must be an absolute path, or begin with ~", max_length=4096)
    ]
    settings: ProjectSettingsBody = field(default_factory=ProjectSettingsBody)


Usd = Annotated[str, form(r"^[0-9]{1,9}(\.[0-9]{1,9})?$(?!\n)", "must be an amount such as 12.50")]
BudgetName = Annotated[str, Meta(extra_json_schema={"pattern": NAME})]
UsdNumber = Annotated[float, Meta(ge=0, le=1e9)]


class FallbackBody(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The peer that answers when a limit is reached."""

    fallback: Name


class BudgetBody(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of a budget; one that is left out is no limit, and at least one is given. Amounts in USD are
    decimal strings or numbers."""

    constraints = some_of(*MEASURES)
    usd_per_day: Usd | UsdNumber | None = None
    usd_per_month: Usd | UsdNumber | None = None
    tokens_per_day: Annotated[int, Meta(ge=0, le=10**15)] | None = None
    on_limit: Literal["ask"] | FallbackBody = "ask"

    def budget(self, name: str) -> Budget:
        fallback = self.on_limit.fallback if isinstance(self.on_limit, FallbackBody) else None
        return Budget(name, _usd(self.usd_per_day), _usd(self.usd_per_month), self.tokens_per_day, fallback)


def _usd(given: str | float | None) -> Decimal | None:
    return None if given is None else Decimal(str(given))


class NotifyTestBody(Body, frozen=True, kw_only=True):
    """Which recipient of notifications gets a test; by default, all do."""

    name: Id | None = None
