"""What transports need of the process: its hub, its addresses, its limits and its counters."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from msgspec import Struct
from starlette.requests import Request

from rhetor.auth.access_tokens import AccessTokens
from rhetor.auth.addresses import Addresses
from rhetor.auth.issuers import Issuers
from rhetor.auth.limits import Attempts
from rhetor.auth.logins import Logins
from rhetor.auth.verifier import Verifier
from rhetor.domain.given import GivenConversation
from rhetor.domain.peer import Peer
from rhetor.domain.principal import Principal
from rhetor.errors import EnvironmentDiffers, InvalidSettings, KeysUnavailable, NotFound, RhetorError
from rhetor.hub.hub import Hub
from rhetor.hub.identity.refresh import Refreshes

from .certificate import Certificate
from .connections import Connections
from .counters import REST, Tally, api_of
from .held_bytes import HeldBytes
from .passed_on import Passing
from .rates import ByteRates, Rates

ENVIRONMENT = "x-rhetor-env"
NOTICE = "x-rhetor-notice"
MODEL = "x-rhetor-model"
RELOAD = "hub.reload"  # what the audit calls reading the configuration again


Note = Callable[[int, int | None], None]
LOCAL_MODEL = "local model"


class TokenCount(Protocol):
    """`exact`: the provider has counted; otherwise it is an estimate."""

    @property
    def input_tokens(self) -> int: ...

    @property
    def exact(self) -> bool: ...


class Providers(Protocol):
    """The model provider behind `auto`, and the keys it uses."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def model(self) -> str:
        """The value of RHETOR_MODEL with which the hub runs."""
        ...

    def take_over(self, variables: Mapping[str, str]) -> None:
        """Use these provider variables from now on; they are never stored."""
        ...

    async def require_model(self, ref: str) -> None:
        """Check a model that a caller has named.

        Raises:
            UnknownModel: no provider knows the model.
        """
        ...

    async def check_models(self) -> Sequence[object]:
        """Ask the providers for the models that the settings and RHETOR_MODEL name, and keep what is wrong as
        `findings`."""
        ...

    @property
    def is_checking(self) -> bool: ...

    @property
    def findings(self) -> Sequence[dict[str, Any]]:
        """What is wrong with these models: `[{setting, model, detail, hint, unknown}]`."""
        ...

    async def models(self, used: Mapping[str, str | None]) -> dict[str, Any]:
        """Return `{models, silent}`: which models exist, and which of the specialists in `used` (their
        references, by name) use them; and the providers that did not list theirs."""
        ...

    async def count_tokens(
        self, peer: Peer, given: GivenConversation, contents: Mapping[str, bytes], hops: int = 0
    ) -> TokenCount:
        """Return how many tokens a conversation has for the peer, with the peer's own prompt. `contents`: of
        the blobs that it names. `hops`: through how many hubs the question has passed.

        Raises:
            ProviderFailed: the provider cannot count.
        """
        ...

    async def price_list(self) -> dict[str, Any]:
        """Return where known prices come from: `{source, version, date}`. The date is that of the newest
        price in the list; None if that is unknown."""
        ...

    async def candidates(self) -> list[dict[str, Any]]:
        """Return what could answer: `{name, kind, model, ready, detail, hint}`."""
        ...

    async def try_model(self, ref: str) -> dict[str, Any]:
        """Ask a model a short question; return `{model, ok, seconds, answer, error, hint}`."""
        ...

    async def describe(self) -> dict[str, Any]:
        """Return `{name, model, base_url?}` of what `auto` resolves to now. The name is `offline` for the
        embedded model."""
        ...


class Programs(Protocol):
    """The configured programs on this machine."""

    def has(self, peer: Peer) -> bool:
        """Return whether the peer's program is configured. One that was announced is not, and it is still
        listed for a moment after it has ended."""
        ...

    def place(self, peer: Peer) -> str | None:
        """Return the file that would be run; None if it is missing."""
        ...

    def found(self, peer: Peer) -> dict[str, Any]:
        """Return what is known without running the program: `{installed, path, how_to_install, login: {known,
        how}}`."""
        ...

    async def health(self, peer: Peer) -> dict[str, Any]:
        """Run the program's health check, and return the result: `{check, ok, detail, version}`."""
        ...


class Prompt(Protocol):
    """The history of the shell's prompt. `active`: whether the hub keeps it, because its files are sealed;
    otherwise, the shell does. The functions block."""

    active: bool

    def lines(self) -> list[str]:
        """Return all lines, oldest first."""
        ...

    def add(self, line: str) -> None:
        """Keep one more line."""
        ...


class DataKeys(Protocol):
    """The keys with which the hub seals what it stores."""

    async def described(self) -> dict[str, Any]:
        """Return `{at_rest, renewing, unreadable, keys: [{id, created_at, retired_at, in_use}]}`.

        Raises:
            KeysUnavailable: they cannot be read.
        """
        ...

    async def rotate(self) -> str:
        """Seal new content with a new key, and the rest in the background. Return the key's id.

        Raises:
            KeysUnavailable: the keys cannot be read or written; nothing was changed.
        """
        ...


class Seal(Protocol):
    """Seals what only this hub is to read, with its data keys. Both methods may read files."""

    def seal(self, content: bytes, about: bytes) -> bytes:
        """Return the sealed content. `about` names its place and must be the same for `open`.

        Raises:
            KeysUnavailable: the keys cannot be read or made.
        """
        ...

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """Return the content.

        Raises:
            SealBroken: it was changed, belongs to another place, or has a key that is missing.
            KeysUnavailable: the keys cannot be read.
        """
        ...


class NoSeal:
    """A hub without keys."""

    def seal(self, content: bytes, about: bytes) -> bytes:
        raise KeysUnavailable("this hub stores nothing, so it has no keys")

    def open(self, sealed: bytes, about: bytes) -> bytes:
        raise KeysUnavailable("this hub stores nothing, so it has no keys")


class NoDataKeys:
    """A hub that stores nothing."""

    async def described(self) -> dict[str, Any]:
        return {"at_rest": False, "renewing": False, "unreadable": 0, "keys": []}

    async def rotate(self) -> str:
        raise KeysUnavailable("this hub stores nothing, so it has no keys")


class ApiKeys(Protocol):
    """The API keys of model providers that the user has stored. What is returned never has a key."""

    async def listed(self) -> list[dict[str, Any]]:
        """Return `{name, stored, set_at, variable, source}` for each provider.

        Raises:
            KeysUnavailable: the stored keys cannot be read.
        """
        ...

    async def put(self, provider: str, key: str) -> dict[str, Any]:
        """Store the key of a provider; return what `listed` has for it.

        Raises:
            NotFound: there is no such provider.
            KeysUnavailable: the key cannot be stored.
        """
        ...

    async def remove(self, provider: str) -> None:
        """Remove the stored key of a provider.

        Raises:
            NotFound: none is stored.
            KeysUnavailable: the stored keys cannot be read or written.
        """
        ...


class NoApiKeys:
    """A hub that stores nothing."""

    async def listed(self) -> list[dict[str, Any]]:
        return []

    async def put(self, provider: str, key: str) -> dict[str, Any]:
        raise NotFound("provider", provider)

    async def remove(self, provider: str) -> None:
        raise NotFound("provider", provider)


class LocalModels(Protocol):
    """The small models that the hub itself runs. `note` gets the megabytes that are done, and how many there
    are."""

    def listed(self) -> dict[str, Any]:
        """Return `{models, known, installed, use, idle}`."""
        ...

    async def pull_known(self, name: str, note: Note | None) -> dict[str, Any]:
        """Fetch a model by its name; return what `listed` has for it.

        Raises:
            NotFound: there is none of this name.
            DownloadFailed: it did not arrive.
            NameTaken: another model has the name.
        """
        ...

    async def pull_url(
        self, url: str, sha256: str, name: str | None, note: Note | None, *, loopback: bool
    ) -> dict[str, Any]:
        """Fetch a model from a URL. `loopback`: it may name this machine.

        Raises:
            Unprocessable: the URL may not be called, or is not that of a model with this digest.
            DownloadFailed, NameTaken: as for `pull_known`.
        """
        ...

    async def use(self, name: str) -> dict[str, Any]:
        """Have `auto` take the model if nothing better answers.

        Raises:
            NotFound: there is none of this name.
            InvalidSettings: the setting cannot be written.
        """
        ...

    async def remove(self, name: str) -> None:
        """Remove a model.

        Raises:
            NotFound: there is none of this name.
        """
        ...


class NoLocalModels:
    """A hub that runs no models."""

    def listed(self) -> dict[str, Any]:
        return {"models": [], "known": [], "installed": False, "use": None, "idle": 0.0}

    async def pull_known(self, name: str, note: Note | None) -> dict[str, Any]:
        raise NotFound(LOCAL_MODEL, name)

    async def pull_url(
        self, url: str, sha256: str, name: str | None, note: Note | None, *, loopback: bool
    ) -> dict[str, Any]:
        raise NotFound(LOCAL_MODEL, url)

    async def use(self, name: str) -> dict[str, Any]:
        raise NotFound(LOCAL_MODEL, name)

    async def remove(self, name: str) -> None:
        raise NotFound(LOCAL_MODEL, name)


class Configuration(Protocol):
    """The settings in force, and the file that they come from. `path`: of the file. What changes the file
    raises `InvalidSettings` if the result is invalid or cannot be written; then nothing was changed."""

    @property
    def path(self) -> str: ...

    def values(self) -> Sequence[tuple[str, Any, str]]:
        """Return the settings in force, each as key, value and origin, without secrets."""
        ...

    def described(self) -> Sequence[Mapping[str, Any]]:
        """Return what the value of each setting must be, its default and what it means."""
        ...

    async def text(self) -> tuple[str, str]:
        """Return the text of the file, and the digest by which it is recognized."""
        ...

    async def put(self, text: str, digest: str | None) -> ConfigChange:
        """Replace the text of the file. `digest`: of the text that it replaces.

        Raises:
            StateConflict: the file has another text.
        """
        ...

    async def patch(self, patch: Mapping[str, Any]) -> ConfigChange:
        """Change values in the file, as a JSON Merge Patch (RFC 7396) does."""
        ...

    def origin_of(self, specialist: str) -> str:
        """Return `built-in`, `changed` for a built-in one that the file changes, or `own`."""
        ...

    async def add_specialist(self, name: str, values: Mapping[str, Any]) -> None:
        """Add a specialist to the file.

        Raises:
            NameTaken: there is one of this name.
        """
        ...

    async def change_specialist(self, name: str, values: Mapping[str, Any]) -> None:
        """Change values of a specialist; None stands for the built-in or default value.

        Raises:
            NotFound: there is none of this name.
        """
        ...

    async def remove_specialist(self, name: str) -> None:
        """Remove a specialist.

        Raises:
            NotFound: there is none of this name.
        """
        ...


class NoConfiguration:
    """A hub without a configuration file."""

    path = ""

    def values(self) -> Sequence[tuple[str, Any, str]]:
        return ()

    def described(self) -> Sequence[Mapping[str, Any]]:
        return ()

    async def text(self) -> tuple[str, str]:
        return "", ""

    async def put(self, text: str, digest: str | None) -> ConfigChange:
        return self._changed(text)

    async def patch(self, patch: Mapping[str, Any]) -> ConfigChange:
        return self._changed(patch)

    def origin_of(self, specialist: str) -> str:
        return "built-in"

    async def add_specialist(self, name: str, values: Mapping[str, Any]) -> None:
        self._changed(name)

    async def change_specialist(self, name: str, values: Mapping[str, Any]) -> None:
        self._changed(name)

    async def remove_specialist(self, name: str) -> None:
        self._changed(name)

    def _changed(self, to: object) -> ConfigChange:
        if to:
            raise InvalidSettings("this hub has no configuration file")
        return ConfigChange()


class NoPrompt:
    """A hub that keeps no history of the prompt."""

    active = False

    def lines(self) -> list[str]:
        return []

    def add(self, line: str) -> None:
        pass


class NoPrograms:
    """The programs of a hub that has none configured."""

    def has(self, peer: Peer) -> bool:
        return False

    def place(self, peer: Peer) -> str | None:
        return None

    def found(self, peer: Peer) -> dict[str, Any]:
        login = {"known": "unknown", "how": "not configured"}
        return {"installed": False, "path": None, "how_to_install": None, "login": login}

    async def health(self, peer: Peer) -> dict[str, Any]:
        return {"check": "none", "ok": False, "detail": "not configured", "version": None}


class Reloaded(Struct, frozen=True):
    """The settings whose values have changed. `changed`: those in effect now; `needs_restart`: those that
    take effect when the hub starts again."""

    changed: Sequence[str] = ()
    needs_restart: Sequence[str] = ()

    @property
    def summary(self) -> str:
        """The names of the settings, in one line."""
        found = (("changed", self.changed), ("needs a restart", self.needs_restart))
        return "; ".join(f"{what}: {', '.join(keys)}" for what, keys in found if keys)


class ConfigChange(Reloaded, frozen=True):
    """`overridden`: keys that were changed in the file and have no effect, each with the variable that
    overrides it."""

    overridden: Sequence[tuple[str, str]] = ()


async def _nothing_changed() -> Reloaded:
    return Reloaded()


@dataclass(slots=True, eq=False, repr=False)
class Node:
    """The process, as all transports share it.

    `started_at`: Unix time in milliseconds; `by_itself`: a shell started this hub, so a shell's provider
    variables may become its own; `url`: the URL of the TCP listener; `console`: the URL at which browsers log
    in; `certificate`: that of the TCP listener, if it has TLS; `max_parallel`: the limit of a bulk request
    that sets none; `reload` reads the configuration again, or raises if it is invalid; `told_offline`: the
    notice about the offline model was sent; `told_local`: the one about the small local model was sent;
    `trusts_unidentified`: callers whose process is not known are the owner; `configuration`: the settings and
    their file;
    `nodes`: lists the nodes that share the database, if several can; `passing` passes requests on to them;
    `components`: what an API keeps for the whole process, by the name of the API; `decoding` is held by who
    decodes a large body or message; `access_tokens` signs those of this hub, and
    `verifier` verifies all tokens, among
    them those of `issuers`.
    """

    hub: Hub
    providers: Providers
    logins: Logins
    version: str
    home: str
    owner: str
    started_at: int
    by_itself: bool
    shut_down: Callable[[], None]
    addresses: Addresses | None = None
    url: str = ""
    console: str = ""
    certificate: Certificate | None = None
    sockets: tuple[str, ...] = ()
    max_parallel: int = 20
    reload: Callable[[], Awaitable[Reloaded]] = _nothing_changed
    programs: Programs = field(default_factory=NoPrograms)
    rates: Rates = field(default_factory=Rates)
    byte_rates: ByteRates = field(default_factory=ByteRates)
    connections: Connections = field(default_factory=Connections)
    attempts: Attempts = field(default_factory=Attempts)
    tally: Tally = field(default_factory=Tally)
    held: HeldBytes = field(default_factory=HeldBytes)
    decoding: asyncio.Lock = field(default_factory=asyncio.Lock)
    told_offline: bool = field(default=False)
    told_local: bool = field(default=False)
    trusts_unidentified: bool = False
    prompt: Prompt = field(default_factory=NoPrompt)
    api_keys: ApiKeys = field(default_factory=NoApiKeys)
    data_keys: DataKeys = field(default_factory=NoDataKeys)
    seal: Seal = field(default_factory=NoSeal)
    configuration: Configuration = field(default_factory=NoConfiguration)
    local_models: LocalModels = field(default_factory=NoLocalModels)
    components: dict[str, Any] = field(default_factory=dict)
    access_tokens: AccessTokens = field(init=False)
    verifier: Verifier = field(init=False)
    issuers: Issuers | None = None
    refreshes: Refreshes = field(default_factory=Refreshes)
    nodes: Callable[[], Awaitable[Sequence[Mapping[str, Any]]]] | None = None
    passing: Passing | None = None

    @property
    def address(self) -> tuple[str, int] | None:
        """The host, as in a URL, and the port of the TCP listener; None if there is none."""
        return _address_of(self.url)

    def charge(self, who: Principal, api: str, messages: float = 1) -> None:
        """Count messages of a caller. Callers on the owner's Unix socket are exempt.

        Raises:
            RateExceeded: the caller has sent too many.
        """
        if who.is_limited:
            self.rates.take(who.subject, api, asyncio.get_running_loop().time(), messages)

    def charge_bytes(self, who: Principal, size: int) -> None:
        """Count bytes that a caller has sent, in one message or one request. Callers on the owner's Unix
        socket are exempt.

        Raises:
            BytesExceeded: the caller had already sent too many.
        """
        if who.is_limited:
            now = asyncio.get_running_loop().time()
            self.byte_rates.check(who.subject, now)
            self.byte_rates.note(who.subject, size, now)

    def note_refusal(self, scope: MutableMapping[str, Any], error: RhetorError) -> None:
        """Write an entry for a refused request to the audit."""
        who = scope["state"].get("principal") or Principal("", address=written(scope.get("client")))
        request = f"{scope.get('method', 'WEBSOCKET')} {scope['path']}"
        self.hub.state.audit.refused(who, "request", error, request, api=api_of(scope))

    def note_attempt(self, address: str, error: RhetorError) -> None:
        """Write an entry for an invalid credential to the audit."""
        self.hub.state.audit.refused(Principal("", address=address), "login", error)

    def charge_steps(self, who: Principal, steps: int) -> None:
        """Count the steps of a plan, up to one burst. The request itself is already counted."""
        self.charge(who, REST, max(0, min(steps, self.rates.burst) - 1))

    def check_environment(self, request: Request) -> None:
        """Check that the hub has the provider variables of the caller's shell, if it may take them over.

        Raises:
            EnvironmentDiffers: the shell has other variables, and no running turn needs the hub's.
        """
        theirs = request.headers.get(ENVIRONMENT)
        may_change = self.by_itself and request.state.principal.local and not self.hub.state.running
        if theirs and may_change and theirs != self.providers.fingerprint:
            raise EnvironmentDiffers("send the provider variables first, with PUT /api/v2/environment")

    async def notices(self, request: Request) -> dict[str, str]:
        """Return headers with notices for a person: that the offline model answers (sent once, until the hub
        gets other provider variables), that a small local model does (sent once), and that the hub does not
        use the RHETOR_MODEL of the caller's shell."""
        notices: list[str] = []
        if not (self.told_offline and self.told_local):
            notices += await self._about_model()
        wanted = request.headers.get(MODEL)
        if wanted and wanted != quote(self.providers.model, safe=""):
            notices.append("model")
        return {NOTICE: ", ".join(notices)} if notices else {}

    async def _about_model(self) -> list[str]:
        found = await self.providers.describe()
        if found["name"] == "offline" and not self.told_offline:
            self.told_offline = True
            return ["offline"]
        if found.get("is_small") and not self.told_local:
            self.told_local = True
            return [f"local={found['model']}"]
        return []


def written(client: tuple[str, int] | None) -> str:
    """Return the address of a client over TCP as the audit shows it; empty if it has none."""
    if client is None:
        return ""
    host, port = client
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@lru_cache(maxsize=4)
def _address_of(url: str) -> tuple[str, int] | None:
    at = urlsplit(url)
    return (at.netloc.rpartition(":")[0], at.port) if at.port else None
