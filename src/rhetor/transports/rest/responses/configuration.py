"""The configuration, and the specialists that it defines."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from .common import Time


class ConfigValue(Struct):
    """A setting. `origin`: the variable or the line of the file that sets it, or `built in`."""

    key: str
    value: Any
    origin: str


class Config(Struct):
    """The settings in force. `path`: of the configuration file."""

    path: str
    config: list[ConfigValue]


class SettingValues(Struct):
    """What a value must be. `type`: as in JSON Schema. `above`: it must be greater than this. `expected`: in
    words. `items`: of a list. `or_else`: what the value may be instead."""

    type: Literal["string", "integer", "number", "boolean", "array", "object"]
    choices: list[str] | UnsetType = UNSET
    minimum: float | UnsetType = UNSET
    above: float | UnsetType = UNSET
    maximum: float | UnsetType = UNSET
    pattern: str | UnsetType = UNSET
    expected: str | UnsetType = UNSET
    items: SettingValues | UnsetType = UNSET
    or_else: SettingValues | UnsetType = UNSET


class DescribedSetting(SettingValues, kw_only=True):
    """A setting. In `key`, `NAME` stands for the name of an entry, and `N` for its place in a list.
    `required`: an entry must have it. `nullable`: the value may be null. `needs_restart`: a change takes
    effect when the hub starts; TLS only if it is turned on or off. `secret`: the value is shown masked, or
    parts of it are."""

    key: str
    default: Any
    description: str
    required: bool
    nullable: bool
    unit: str | None
    needs_restart: bool
    secret: bool


class ConfigSchema(Struct):
    settings: list[DescribedSetting]


class ConfigText(Struct):
    path: str
    text: str
    digest: str


class Overridden(Struct):
    """A setting that was changed in the file, without effect: the environment variable takes precedence."""

    key: str
    variable: str


class ConfigChanged(Struct):
    """What was changed. `changed`: the keys whose values took effect; `needs_restart`: those that take effect
    when the hub starts again."""

    path: str
    changed: list[str]
    needs_restart: list[str]
    overridden: list[Overridden]


class Key(Struct):
    """Where the key of a provider is. `stored`: where it was stored. `variable`: the hub's variable that has
    a key, which takes precedence."""

    name: str
    stored: Literal["file", "keyring"] | None
    set_at: Time | None
    variable: str | None
    source: Literal["environment", "stored"] | None


class Keys(Struct):
    keys: list[Key]


class KeyRemoved(Struct):
    name: str
    status: str


class Candidate(Struct):
    """Something that could answer. `model`: what `models.default` would be. `ready`: whether it is worth a
    try. `detail`: what was found. `hint`: what to do if it is not ready."""

    name: str
    kind: Literal["provider", "server", "agent", "local"]
    model: str | None
    ready: bool
    detail: str
    hint: str


class Candidates(Struct):
    """`default`: the setting `models.default`. `path`: of the configuration file."""

    path: str
    default: str
    candidates: list[Candidate]


class Trial(Struct):
    """How a model has answered. `answer`: the beginning of it."""

    model: str
    ok: bool
    seconds: float
    answer: str
    error: str
    hint: str


class LocalModel(Struct):
    """A small model that the hub can run. `source`: the package or the URL that it is from. `context`: the
    tokens for which it was trained, null if its file does not say it. `in_use`: `auto` takes it if nothing
    better answers. `pid`: of its process, null if none runs."""

    name: str
    model: str
    bytes: int
    sha256: str
    source: str
    context: int | None
    pulled_at: Time
    in_use: bool
    pid: int | None


class KnownModel(Struct):
    """A model that can be pulled by its name."""

    name: str
    bytes: int
    source: str


class LocalModels(Struct):
    """`installed`: whether the library that runs them is. `use` and `idle`: the settings `models.local`."""

    models: list[LocalModel]
    known: list[KnownModel]
    installed: bool
    use: str | None
    idle: float


class LocalModelRemoved(Struct):
    name: str
    status: str


class Specialist(Struct):
    """A specialist. `capabilities`: scores from 0 to 1. `origin`: `changed` if the file changes a built-in
    one."""

    name: str
    role: str
    description: str
    prompt: str
    model: str | None
    capabilities: dict[str, float]
    primary: list[str]
    mcp_servers: list[str]
    origin: Literal["built-in", "changed", "own"]


class Specialists(Struct):
    specialists: list[Specialist]


class SpecialistRemoved(Struct):
    name: str
    status: str
