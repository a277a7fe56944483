"""The sections of the configuration: each one's keys, what they may be, and what is built in.

They know neither files nor the environment; what their values mean together is for `peers` to say.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0)]
Amount = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
ModelRef = Annotated[str, Field(pattern=r"^(cli:[^/\s]+|[^/\s]+/\S+)$")]


def _is_rule(rule: str) -> str:
    if not rule or len(rule) > 200 or re.search(r"[\s()]|\*.", rule):
        raise ValueError("a rule is a tool's name, or its beginning and *; arguments are not looked at")
    return rule


Rule = Annotated[str, AfterValidator(_is_rule)]
PeerName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HubSettings(Section):
    """`idle_exit`: seconds without use after which a hub that started by itself ends. `allowed_hosts` and
    `allowed_origins`: exact values beside the hub's own, for a proxy or another front end."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8300
    idle_exit: Seconds = 1800
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()

    @field_validator("allowed_hosts", "allowed_origins")
    @classmethod
    def _exact(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if any("*" in value for value in values):
            raise ValueError("exact values only, no wildcard")
        return values


class ProviderSettings(Section):
    """`api_key_env`: the name of the variable that holds the key, never the key itself."""

    kind: Literal["openai", "anthropic", "openrouter"] = "openai"
    base_url: str | None = None
    api_key_env: str | None = None
    allow_private: bool = False


class PriceSettings(Section):
    """USD for a million tokens. `cached_per_1m`: of input that the provider had in its cache."""

    input_per_1m: Amount
    output_per_1m: Amount
    cached_per_1m: Amount | None = None


class ModelSettings(Section):
    """`agents`: those that `auto` may take where there is no provider, once they are logged in. `fallbacks`:
    asked in this order where a peer's own model fails before it begins to answer. `prices`:
    by `provider/model`, before the prices that are known."""

    default: str = "auto"
    agents: tuple[PeerName, ...] = ("claude-code", "codex", "gemini", "opencode")
    fallbacks: tuple[ModelRef, ...] = ()
    prices: dict[ModelRef, PriceSettings] = {}


class PermissionSettings(Section):
    """What is answered for the user when a tool asks: names of tools, or the beginning of names and `*`."""

    allow: tuple[Rule, ...] = ()
    ask: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()


class SpecialistSettings(Section):
    """What is left out is taken from the built-in specialist of that name, where there is one."""

    role: str | None = None
    prompt: str | None = None
    description: str | None = None
    model: str | None = None
    capabilities: dict[str, float | bool] | None = None
    primary: tuple[str, ...] | None = None
    mcp_servers: tuple[PeerName, ...] = ()
    permissions: PermissionSettings = PermissionSettings()


class ToolSettings(Section):
    """A program that can be launched by name. `env` and `pass_env` (names of the hub's own variables): what
    it gets besides those that every program needs. `cwd`: absolute, from the home (`~`), or `caller` for the
    sender's own folder. `prompt`: a pattern for the line on which it waits. `install`: how to get it. Of the
    `capabilities` one is no score: `streaming`, false where answers come whole."""

    display_name: str = ""
    driver: Literal["terminal", "stdio", "claude", "codex", "acp", "continue", "cursor"] = "terminal"
    executable: Annotated[str, Field(pattern=r"^[^\x00]*$")] = ""
    args: Annotated[tuple[str, ...], Field(validation_alias=AliasChoices("args", "launch_args"))] = ()
    env: dict[str, str] = {}
    pass_env: tuple[str, ...] = ()
    cwd: str = "~"
    description: str = ""
    health_check: str | tuple[str, ...] = "version"
    delimiter: str | None = None
    protocol: Literal["text", "aish-json"] = "text"
    prompt: str | None = None
    on_exit: Literal["survive", "reap"] = "survive"
    capabilities: dict[str, float | bool] = {}
    primary: tuple[str, ...] = ()
    install: str = ""
    permissions: PermissionSettings = PermissionSettings()

    @field_validator("prompt")
    @classmethod
    def _is_pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"it is no regular expression: {error}") from error
        return pattern

    @field_validator("cwd")
    @classmethod
    def _is_place(cls, cwd: str) -> str:
        if cwd != "caller" and not cwd.startswith(("/", "~")):
            raise ValueError("a folder is absolute, begins with ~, or is `caller`")
        return cwd


class McpServerSettings(Section):
    """A `command` (the program and its arguments, no shell) or a `url`. `env` and `pass_env`: what the
    program gets besides PATH, HOME and LANG. `approve`: tools that a person is asked about first."""

    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    pass_env: tuple[str, ...] = ()
    url: str | None = None
    allow_private: bool = False
    approve: Literal["all"] | tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.command) == bool(self.url):
            raise ValueError("a server has a command or a url, one of them")
        return self


class SessionSettings(Section):
    """`ttl`: seconds without use; `detach_ttl`: seconds that a session of the interactive loop waits for its
    client to come back; `context_window`: messages that a model is given; `default_peer`: of sessions of the
    loop that name none."""

    ttl: Seconds = 3600
    detach_ttl: Seconds = 60
    context_window: Annotated[int, Field(ge=0, le=10_000)] = 10
    default_peer: PeerName = "numa"


class TimeoutSettings(Section):
    """Seconds, of one call to a model."""

    connect: Seconds = 10
    first_chunk: Seconds = 60
    idle: Seconds = 60
    total: Seconds = 600


class BulkSettings(Section):
    """`max_parallel`: operations of a bulk request that run at once, where it does not say."""

    max_parallel: Annotated[int, Field(ge=1, le=1000)] = 20


class LimitSettings(Section):
    """Of one caller over TCP: `connections_per_minute` (new ones) and `connections_at_once`, WebSockets and
    event streams; `messages_per_second` through one door, and `messages_burst` at once.
    `attempts_per_minute`: wrong credentials of one address, before it is told no more of them."""

    message_bytes: Annotated[int, Field(gt=0)] = 1_048_576
    hops: Annotated[int, Field(gt=0, le=64)] = 8
    connections_per_minute: Annotated[int, Field(gt=0)] = 20
    connections_at_once: Annotated[int, Field(gt=0)] = 100
    messages_per_second: Annotated[float, Field(gt=0)] = 50
    messages_burst: Annotated[int, Field(gt=0)] = 200
    attempts_per_minute: Annotated[int, Field(gt=0)] = 5


class Settings(BaseSettings):
    """Everything that is configured."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="RHETOR_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    hub: HubSettings = HubSettings()
    providers: dict[str, ProviderSettings] = {}
    models: ModelSettings = ModelSettings()
    specialists: dict[PeerName, SpecialistSettings | None] = {}
    tools: dict[PeerName, ToolSettings | None] = {}
    teams: dict[PeerName, tuple[str, ...]] = {}
    mcp_servers: dict[PeerName, McpServerSettings] = {}
    permissions: PermissionSettings = PermissionSettings()
    session: SessionSettings = SessionSettings()
    bulk: BulkSettings = BulkSettings()
    timeouts: TimeoutSettings = TimeoutSettings()
    limits: LimitSettings = LimitSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (env_settings, init_settings)  # the file's values come as init; flags are laid over both
