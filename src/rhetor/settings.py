"""What a user can set: flags, then `RHETOR_*` variables, then `config.yaml`, then what is built in.

Read once at start. A file that does not hold up is refused with its line, key and reason.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from rhetor.coding_agents import CODING_AGENTS
from rhetor.domain.peer import Capability, Peer, PeerKind
from rhetor.domain.program import Program
from rhetor.errors import InvalidSettings
from rhetor.specialists import BUILT_IN

MASK = "(masked)"
Seconds = Annotated[float, Field(gt=0)]
Amount = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
ModelRef = Annotated[str, Field(pattern=r"^[^/\s]+/\S+$")]
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
    """`fallbacks`: asked in this order where a peer's own model fails before it begins to answer. `prices`:
    by `provider/model`, before the prices that are known."""

    default: str = "auto"
    fallbacks: tuple[ModelRef, ...] = ()
    prices: dict[ModelRef, PriceSettings] = {}


class SpecialistSettings(Section):
    """What is left out is taken from the built-in specialist of that name, where there is one."""

    role: str | None = None
    prompt: str | None = None
    description: str | None = None
    model: str | None = None
    capabilities: dict[str, float | bool] | None = None
    primary: tuple[str, ...] | None = None
    mcp_servers: tuple[PeerName, ...] = ()


class ToolSettings(Section):
    """A program that can be launched by name. `env` and `pass_env` (names of the hub's own variables): what
    it gets besides those that every program needs. `cwd`: absolute, from the home (`~`), or `caller` for the
    sender's own folder. `prompt`: a pattern for the line on which it waits. `install`: how to get it."""

    display_name: str = ""
    driver: Literal["terminal", "stdio", "claude", "codex", "acp"] = "terminal"
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
    message_bytes: Annotated[int, Field(gt=0)] = 1_048_576
    hops: Annotated[int, Field(gt=0, le=64)] = 8


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


def state_home(environment: Mapping[str, str]) -> Path:
    """The folder that all state lives in: RHETOR_HOME, else `rhetor` in the user's state folder."""
    if home := environment.get("RHETOR_HOME"):
        return Path(home).expanduser().absolute()
    base = (
        environment.get("XDG_STATE_HOME")
        or Path(environment.get("HOME") or "~").expanduser() / ".local/state"
    )
    return Path(base) / "rhetor"


def read_settings(file: Path | None, flags: Mapping[str, Any] | None = None) -> Settings:
    """The settings in force. `flags`: values for `hub` keys, where given.

    Raises:
        InvalidSettings: the file or a variable does not hold up; says where.
    """
    text = _text(file)
    try:
        loaded = yaml.load(text, _LOADER) if text else {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        raise InvalidSettings(f"{file}: {where}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InvalidSettings(f"{file}: {error}") from error
    if loaded is None:
        loaded = {}
    if not isinstance(loaded, dict):
        raise InvalidSettings(f"{file}: line 1: the file must be a mapping of sections")
    try:
        settings = Settings(**loaded)
    except (ValidationError, TypeError) as error:
        raise InvalidSettings(_explained(error, file, text)) from error
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    try:
        return settings.model_copy(update={"hub": HubSettings(**{**settings.hub.model_dump(), **given})})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise InvalidSettings(f"hub.{fault['loc'][0]}: {fault['msg']}") from error


def peers_of(settings: Settings) -> list[Peer]:
    """The specialists: built-in ones, with what the user changed, without what the user took away; and the
    tools.

    Raises:
        InvalidSettings: a team has a member that is no peer, a specialist a server that is not configured,
            or a score is out of its range.
    """
    names = [*BUILT_IN, *(name for name in settings.specialists if name not in BUILT_IN)]
    kept = [n for n in names if not (n in settings.specialists and settings.specialists[n] is None)]
    peers = [
        _specialist(name, settings.specialists.get(name) or SpecialistSettings(), settings) for name in kept
    ]
    for peer in peers:
        if missing := [name for name in peer.mcp_servers if name not in settings.mcp_servers]:
            raise InvalidSettings(f"specialists.{peer.name}.mcp_servers: mcp_servers has no {missing[0]!r}")
    tools = tools_of(settings)
    peers += [_tool(name, tool) for name, tool in tools.items()]
    if twice := [name for name in tools if name in kept]:
        raise InvalidSettings(f"tools.{twice[0]}: there is a specialist of that name")
    for team, members in settings.teams.items():
        if unknown := [m for m in members if m not in kept and m not in tools]:
            raise InvalidSettings(f"teams.{team}: no peer is called {unknown[0]!r}")
    return peers


def tools_of(settings: Settings) -> dict[str, ToolSettings]:
    """The programs that can be launched by name: the coding agents that are known, with what the user
    changed, without what the user took away; and the user's own.

    Raises:
        InvalidSettings: one has no executable.
    """
    found = {name: ToolSettings(**entry) for name, entry in CODING_AGENTS.items()}
    for name, own in settings.tools.items():
        if own is None:
            found.pop(name, None)
            continue
        base = found.get(name)
        said = own.model_dump(exclude_unset=True)
        found[name] = base.model_copy(update=said) if base else own
        if not found[name].executable:
            raise InvalidSettings(f"tools.{name}.executable: it is missing")
    return found


def _specialist(name: str, own: SpecialistSettings, settings: Settings) -> Peer:
    base = BUILT_IN.get(name)
    role = own.role or (base.role if base else "specialist")
    scores = own.capabilities if own.capabilities is not None else (base.capabilities if base else {})
    primary = own.primary if own.primary is not None else (base.primary if base else ())
    return Peer(
        name,
        PeerKind.SPECIALIST,
        "chat",
        own.description or role,
        role,
        own.prompt or (base.prompt if base else f"You are {name}, {role}."),
        own.model or settings.models.default,
        tuple(_capability(f"specialists.{name}", c, score, c in primary) for c, score in scores.items()),
        own.mcp_servers,
    )


def _tool(name: str, own: ToolSettings) -> Peer:
    program = Program(
        (own.executable, *own.args),
        own.cwd,
        own.delimiter,
        own.protocol,
        own.prompt,
        own.on_exit,
        own.install,
    )
    capabilities = tuple(
        _capability(f"tools.{name}", c, score, c in own.primary) for c, score in own.capabilities.items()
    )
    return Peer(
        name,
        PeerKind.TOOL,
        own.driver,
        own.description or own.display_name or own.executable,
        capabilities=capabilities,
        program=program,
        display_name=own.display_name,
    )


def _capability(where: str, name: str, score: float | bool, primary: bool) -> Capability:
    value = 1.0 if score is True else float(score)
    if not 0 <= value <= 1:
        raise InvalidSettings(f"{where}.capabilities.{name}: a score is from 0 to 1, not {value}")
    return Capability(name.replace("_", "-"), value, primary)


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _text(file: Path | None) -> str:
    if file is None or not file.exists():
        return ""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"{file}: {error}") from error


def _explained(error: ValidationError | TypeError, file: Path | None, text: str) -> str:
    """The first fault with its line and key."""
    if isinstance(error, TypeError):
        return f"{file}: keys must be text: {error}"
    fault = error.errors(include_url=False)[0]
    path = [part for part in fault["loc"] if not (isinstance(part, str) and part.endswith("]"))]
    key = ".".join(str(part) for part in path)
    reason = "there is no such setting" if fault["type"] == "extra_forbidden" else fault["msg"]
    line = _line_of(text, path)
    where = (
        f"{file}: line {line}: "
        if line
        else ("" if _in_environment(key) is None else f"{_in_environment(key)}: ")
    )
    return f"{where}{key}: {reason}"


def _in_environment(key: str) -> str | None:
    name = "RHETOR_" + key.replace(".", "__").upper()
    return next((n for n in os.environ if n.upper() == name or name.startswith(n.upper() + "__")), None)


def _line_of(text: str, path: list[int | str]) -> int | None:
    """The line of the deepest part of `path` that the file has."""
    node = yaml.compose(text, _LOADER) if text else None
    line = None
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next((p for p in node.value if p[0].value == str(part)), None)
            if pair is None:
                return line
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def origins(settings: Settings, file: Path) -> list[tuple[str, Any, str]]:
    """Each value in force with its key and where it is from: a variable, the file, or built in."""
    text = _text(file)
    found: list[tuple[str, Any, str]] = []
    for path, value in _leaves(settings.model_dump(mode="json")):
        key = ".".join(path)
        variable, line = _in_environment(key), _line_of(text, list(path))
        if "env" in path[:-1]:
            value = MASK  # what programs are given may be a secret
        in_file = line is not None and _depth_in_file(text, path) == len(path)
        found.append((key, value, variable or (f"{file}:{line}" if in_file else "built in")))
    return found


def _leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, (*path, str(key)))]
    return [(path, value)]


def _depth_in_file(text: str, path: tuple[str, ...]) -> int:
    """How many parts of `path` the file has."""
    value = yaml.load(text, _LOADER) if text else None
    for depth, part in enumerate(path):
        if not (isinstance(value, dict) and part in value):
            return depth
        value = value[part]
    return len(path)
