"""The bodies that change the configuration."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from rhetor.codec.forms import form
from rhetor.codec.typed_json import unprocessable, value
from rhetor.errors import Unprocessable

from .common import A_NAME, AN_URL, Body, Model, Name, one_of

CONFIG_BYTES = 1 << 20
# the hub checks the values as it checks those of the file
Section = Annotated[Raw, Meta(extra_json_schema={"type": ["object", "null"]})] | UnsetType
Entries = Annotated[Raw, Meta(extra_json_schema={"type": ["array", "null"]})] | UnsetType
Value = Annotated[Raw, Meta(extra_json_schema={"type": ["string", "null"]})] | UnsetType
# what a section must be, if it is not an object
OTHERS: dict[str, tuple[type, str]] = {"notify": (list, "a list"), "store": (str, "a string")}


class ConfigBody(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values to change, by section, as in the configuration file. null removes an entry of the file."""

    hub: Section = UNSET
    store: Value = UNSET
    providers: Section = UNSET
    models: Section = UNSET
    specialists: Section = UNSET
    tools: Section = UNSET
    teams: Section = UNSET
    mcp_servers: Section = UNSET
    permissions: Section = UNSET
    quota: Section = UNSET
    session: Section = UNSET
    projects: Section = UNSET
    join: Section = UNSET
    checkpoints: Section = UNSET
    retention: Section = UNSET
    encryption: Section = UNSET
    audit: Section = UNSET
    auth: Section = UNSET
    budgets: Section = UNSET
    notify: Entries = UNSET
    bulk: Section = UNSET
    timeouts: Section = UNSET
    limits: Section = UNSET

    def patch(self) -> dict[str, Any]:
        """Return the values.

        Raises:
            Unprocessable: a section is neither null nor what it must be.
        """
        found: dict[str, Any] = {}
        for name in self.__struct_fields__:
            raw = getattr(self, name)
            if raw is UNSET:
                continue
            found[name] = value(raw, f"body.{name}")
            kind, what = OTHERS.get(name, (dict, "an object"))
            if found[name] is not None and not isinstance(found[name], kind):
                raise unprocessable(f"body.{name}", f"must be {what} or null")
        return found


class KeyBody(Body, frozen=True, kw_only=True):
    """The API key of a provider."""

    key: Annotated[
        str,
        form(
            r"^[!-~]+$(?!\n)",
            "must have printable ASCII characters and no spaces",
            min_length=1,
            max_length=10_000,
        ),
    ]


class TrialBody(Body, frozen=True, kw_only=True):
    """A model to try: `provider/model` or `cli:agent`."""

    model: Model


_SHA256 = "must be 64 hexadecimal digits in lower case"
LocalName = Annotated[
    str,
    form(
        r"^[a-z0-9][a-z0-9._-]{0,63}$(?!\n)",
        "must have 1 to 64 small letters, digits, `.`, `_` or `-`",
    ),
]


class PullBody(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model to fetch: `model`, one of `known`; or any GGUF file by its `url` and the SHA-256 of its
    content. `name`: what the model from a URL is called; by default, as its file."""

    constraints = one_of(model={"type": "string"}, url={"type": "string"}) | {
        "dependentRequired": {"url": ["sha256"]}
    }
    model: LocalName | None = None
    url: Annotated[str, form(r"^https?://[^\s@]+$", AN_URL, max_length=4096)] | None = None
    sha256: Annotated[str, form(r"^[0-9a-f]{64}$(?!\n)", _SHA256)] | None = None
    name: LocalName | None = None

    def source(self) -> tuple[str, str]:
        """Return the URL and its digest; the name of a known model and an empty text.

        Raises:
            Unprocessable: there is neither a model nor a URL, or both; or the digest is missing.
        """
        if (self.model is None) == (self.url is None):
            raise Unprocessable("body: give either model or url")
        if self.url is not None and self.sha256 is None:
            raise Unprocessable("body: a url needs sha256, the SHA-256 of the file")
        return (self.model, "") if self.model is not None else (self.url or "", self.sha256 or "")


class ConfigTextBody(Body, frozen=True, kw_only=True):
    """The whole text of the configuration file. `digest`: of the text that it replaces, as it was read; if
    the file has another one, it is not replaced."""

    text: Annotated[str, Meta(max_length=CONFIG_BYTES)]
    digest: Annotated[str, Meta(max_length=100)] | None = None


Line = Annotated[str, Meta(min_length=1, max_length=1000)]
Prompt = Annotated[str, Meta(min_length=1, max_length=65_536)]
Score = Annotated[float, Meta(ge=0, le=1)]
Capabilities = Annotated[dict[str, Score], Meta(max_length=100)]
Names = Annotated[list[Name], Meta(max_length=100)]
SpecialistName = Annotated[str, form(r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$(?!\n)", A_NAME)]


class SpecialistBody(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A specialist. `model`: by default, that of `models.default`. `capabilities`: scores from 0 to 1."""

    name: SpecialistName
    prompt: Prompt
    role: Line | None = None
    description: Line | None = None
    model: Model | None = None
    capabilities: Capabilities | None = None
    primary: Names | None = None
    mcp_servers: Names | None = None

    def values(self) -> dict[str, Any]:
        """Return the entry for the configuration."""
        return {
            key: found
            for key, found in msgspec.structs.asdict(self).items()
            if key != "name" and found is not None
        }


class SpecialistChangeBody(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values of a specialist to change; null stands for the built-in or default one."""

    prompt: Prompt | UnsetType | None = UNSET
    role: Line | UnsetType | None = UNSET
    description: Line | UnsetType | None = UNSET
    model: Model | UnsetType | None = UNSET
    capabilities: Capabilities | UnsetType | None = UNSET
    primary: Names | UnsetType | None = UNSET
    mcp_servers: Names | UnsetType | None = UNSET

    def values(self) -> dict[str, Any]:
        """Return the values to change."""
        return {key: found for key, found in msgspec.structs.asdict(self).items() if found is not UNSET}
