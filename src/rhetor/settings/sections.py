"""The sections of the configuration: their keys, which values they accept, and the built-in defaults.

They know neither files nor the environment. `peers.py` checks that values do not contradict each other.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct

from rhetor.domain.budget import NAME
from rhetor.domain.parts import Take
from rhetor.domain.principal import AGENT

SQLITE = "sqlite"
Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(gt=0)]
Score = Annotated[float, Meta(ge=0, le=1, description="a score from 0 to 1, or true or false")]
PRICE = "a decimal number of at least 0"  # msgspec cannot check the bounds of a Decimal
Price = Annotated[Decimal, Meta(description=PRICE)]
ModelRef = Annotated[
    str, Meta(pattern=r"^(cli:[^/\s]+|[^/\s]+/\S+)\Z", description="`provider/model` or `cli:agent`")
]
PeerName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}\Z",
        description="a name: a letter, and up to 63 letters, digits, `_`, `.` or `-`",
    ),
]
Rule = Annotated[
    str,
    Meta(
        pattern=r"^(?=.{1,200}\Z)[^\s()*]*\*?\Z",
        description="the name of a tool, or its beginning and `*`; rules do not match arguments",
    ),
]
Variable = Annotated[str, Meta(pattern=r"^[^=\x00]+\Z", description="the name of a variable, without `=`")]
Exact = Annotated[str, Meta(pattern=r"^[^*]*\Z", description="an exact value, without wildcards")]
Usd = Annotated[Decimal, Meta(description=PRICE)]
BudgetName = Annotated[
    str,
    Meta(
        pattern=NAME,
        description="`global`, `peer.NAME`, `project.NAME` or `caller.NAME`",
    ),
]
OnLimit = Annotated[str, Meta(pattern=r"^(ask|fallback:\s*\S+)\Z", description="`ask` or `fallback: PEER`")]
OnPause = Annotated[
    str,
    Meta(
        pattern=r"^(ask|continue|handover:[A-Za-z][A-Za-z0-9_.-]{0,63})\Z",
        description="`ask`, `continue` or `handover:PEER`",
    ),
]
WorkingDirectory = Annotated[
    str,
    Meta(pattern=r"^([/~]|caller\Z)", description="an absolute path, a path that begins with ~, or `caller`"),
]
MasterKey = Annotated[
    str,
    Meta(
        pattern=r"^(file|keyring|command:\s*[^\s\x00][^\x00]*)\Z",
        description="`file`, `keyring` or `command:` and a program with its arguments",
    ),
]
HttpUrl = Annotated[
    str,
    Meta(pattern=r"^https?://[^/\s]+\S*\Z", description="a URL that begins with https:// or http://"),
]
NodeAddress = Annotated[
    str,
    Meta(
        pattern=r"^([^\s:\[\]]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}\Z",
        description="`HOST:PORT`, with an IPv6 address in brackets",
    ),
]
Argument = Annotated[str, Meta(pattern=r"^[^\x00]*\Z", description="text without NUL")]
NotifiedOf = Literal[
    "permission.asked", "turn.failed", "peer.stuck", "budget", "quota.paused", "turn.completed"
]
StoreUrl = Annotated[
    str,
    Meta(
        pattern=r"^(sqlite|postgres(ql)?://\S+)\Z",
        description="`sqlite`, or a URL that begins with postgresql://",
    ),
]
AbsolutePath = Annotated[str, Meta(pattern=r"^[/~][^\x00]*\Z", description="an absolute path, or `~`")]


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping with fixed keys."""


class HubSettings(Section, frozen=True):
    """Where the hub listens, and when it stops. `idle_exit`: seconds without use after which a hub that a
    shell started stops. `allowed_hosts` and `allowed_origins` are accepted in addition to the hub's own, for
    a proxy or another front end. `trust_unidentified`: a caller whose process cannot be identified is the
    owner. `tls_cert` and `tls_key`: the files with which TCP has TLS; without them, it has none.
    `node_address`: where other nodes reach this one."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8300
    idle_exit: Seconds = 1800
    allowed_hosts: tuple[Exact, ...] = ()
    allowed_origins: tuple[Exact, ...] = ()
    trust_unidentified: bool = False
    tls_cert: AbsolutePath | None = None
    tls_key: AbsolutePath | None = None
    node_address: NodeAddress | None = None


class ProviderSettings(Section, frozen=True):
    """A model provider. `api_key_env`: the name of the variable that contains the key, never the key."""

    kind: Literal["openai", "anthropic", "openrouter"] = "openai"
    base_url: str | None = None
    api_key_env: str | None = None
    allow_private: bool = False


class PriceSettings(Section, frozen=True):
    """Prices in USD per million tokens. `cached_per_1m`: for input tokens from the provider's cache."""

    input_per_1m: Price
    output_per_1m: Price
    cached_per_1m: Price | None = None

    def __post_init__(self) -> None:
        _require_prices(self)


class FallbackSettings(Section, frozen=True):
    """The peer that answers when a limit is reached."""

    fallback: PeerName


class BudgetSettings(Section, frozen=True):
    """Limits of one budget, per day or month in UTC. A key that is left out is no limit. `on_limit`: at a
    limit, a turn waits and a person is asked (`ask`), or another peer answers (`fallback: PEER`)."""

    usd_per_day: Usd | None = None
    usd_per_month: Usd | None = None
    tokens_per_day: Annotated[int, Meta(ge=0)] | None = None
    on_limit: OnLimit | FallbackSettings = "ask"

    def __post_init__(self) -> None:
        _require_prices(self)

    @property
    def fallback(self) -> str | None:
        """The peer that answers at a limit; None if a person is asked."""
        if isinstance(self.on_limit, FallbackSettings):
            return self.on_limit.fallback
        return self.on_limit.partition(":")[2].strip() or None


def _require_prices(section: Section) -> None:
    for key in section.__struct_fields__:
        price = getattr(section, key)
        if isinstance(price, Decimal) and not (price.is_finite() and price >= 0):
            raise ValueError(f"{key} must be {PRICE}")


class LocalModelSettings(Section, frozen=True):
    """The small models that the hub itself runs. `use`: the one that `auto` takes if nothing better answers;
    null for none. `idle`: seconds without a call after which the process of a model ends."""

    use: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\Z")] | None = "smollm2"
    idle: Seconds = 300


class ModelSettings(Section, frozen=True):
    """Which models answer, and what they cost.

    `agents`: coding agents that `auto` may use if there is no provider, once they are logged in. `fallbacks`:
    models that are tried in this order if a peer's own model fails before its answer begins. `prices`: by
    `provider/model`; they take precedence over known prices. `takes`: what models take besides text, by
    `provider/model`; it takes precedence over what is known of them.
    """

    default: str = "auto"
    agents: tuple[PeerName, ...] = ("claude-code", "codex", "gemini", "opencode")
    fallbacks: tuple[ModelRef, ...] = ()
    prices: dict[ModelRef, PriceSettings] = {}
    takes: dict[ModelRef, tuple[Take, ...]] = {}
    local: LocalModelSettings = LocalModelSettings()


class PermissionSettings(Section, frozen=True):
    """Rules that answer permission requests for the user, by the names of tools."""

    allow: tuple[Rule, ...] = ()
    ask: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()


class QuotaSettings(Section, frozen=True):
    """What follows if a peer's usage limit is reached: a person is asked (`ask`), the turn continues
    when the limit resets (`continue`), or another peer answers (`handover:PEER`)."""

    on_pause: OnPause | None = None


class SpecialistSettings(Section, frozen=True):
    """Keys that are left out keep the value of the built-in specialist of that name, if there is one."""

    role: str | None = None
    prompt: str | None = None
    description: str | None = None
    model: str | None = None
    capabilities: dict[str, Score | bool] | None = None
    primary: tuple[str, ...] | None = None
    mcp_servers: tuple[PeerName, ...] = ()
    permissions: PermissionSettings = PermissionSettings()
    quota: QuotaSettings = QuotaSettings()


class ToolSettings(Section, frozen=True):
    """A program that can be launched by name. `env` and `pass_env` (names of the hub's own variables): what
    the program receives in addition to the variables that every program needs. `cwd`: absolute, relative to
    the home folder (`~`), or `caller` for the sender's own folder. `prompt`: a regular expression for the
    line on which the program waits for input. `install`: how to get the program. One of the `capabilities`
    is not a score: `streaming` is false if answers arrive whole."""

    display_name: str = ""
    driver: Literal["terminal", "stdio", "claude", "codex", "acp", "continue", "cursor"] = "terminal"
    executable: Annotated[str, Meta(pattern=r"^[^\x00]*\Z", description="the name or path of a program")] = ""
    args: tuple[str, ...] = ()
    env: dict[Variable, str] = {}
    pass_env: tuple[str, ...] = ()
    cwd: WorkingDirectory = "~"
    description: str = ""
    health_check: str | tuple[str, ...] = "version"
    delimiter: str | None = None
    protocol: Literal["text", "aish-json"] = "text"
    prompt: str | None = None
    on_exit: Literal["survive", "reap"] = "survive"
    capabilities: dict[str, Score | bool] = {}
    primary: tuple[str, ...] = ()
    install: str = ""
    permissions: PermissionSettings = PermissionSettings()
    quota: QuotaSettings = QuotaSettings()


class McpServerSettings(Section, frozen=True):
    """A `command` (the program and its arguments; no shell is used) or a `url`. `env` and `pass_env`: what
    the program receives in addition to PATH, HOME and LANG. `approve`: tools that require a person's
    approval."""

    command: tuple[str, ...] = ()
    env: dict[Variable, str] = {}
    pass_env: tuple[str, ...] = ()
    url: str | None = None
    allow_private: bool = False
    approve: Literal["all"] | tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.command) == bool(self.url):
            raise ValueError("set either command or url")


class SessionSettings(Section, frozen=True):
    """Defaults of sessions.

    `ttl`: seconds without use after which a session without a name expires. `detach_ttl`: seconds that a
    session of the interactive loop waits for its client to reconnect. `context_window`: messages that a model
    receives. `default_peer`: the peer of loop sessions that do not name one.
    """

    ttl: Seconds = 3600
    detach_ttl: Seconds = 60
    context_window: Annotated[int, Meta(ge=0, le=10_000)] = 10
    default_peer: PeerName = "numa"


class ProjectsSettings(Section, frozen=True):
    """Projects. `roots`: the folders in which a project's folder may be."""

    roots: tuple[Annotated[str, Meta(pattern=r"^[/~]", description="an absolute path, or `~`")], ...] = ("~",)


class JoinSettings(Section, frozen=True):
    """What this machine offers to a hub that it joins with `rhetor join`. `offer`: the names of programs in
    `tools`; without it, all that are installed. `projects`: folders in which the hub may let agents work, by
    name."""

    offer: tuple[PeerName, ...] = ()
    projects: dict[PeerName, AbsolutePath] = {}


class CheckpointSettings(Section, frozen=True):
    """Checkpoints, and the files in sessions' folders that they keep. With the mode `per_turn`, one is made
    before each turn. Those without a name are removed if a session has more than `keep` of them, if they are
    older than `max_age_days`, or if all files take more than `max_bytes` on the disk. `max_file_bytes`:
    larger files are left out."""

    mode: Literal["per_turn", "manual"] = "manual"
    keep: Count = 50
    max_age_days: Annotated[float, Meta(gt=0)] = 30
    max_file_bytes: Count = 52_428_800
    max_bytes: Count = 2_147_483_648


class RetentionSettings(Section, frozen=True):
    """What is removed: events, and sessions and plans that have ended, older than `max_age_days`, and the
    oldest ones if the database takes more than `max_bytes`. Without these settings, all are kept."""

    max_age_days: Annotated[float, Meta(gt=0)] | None = None
    max_bytes: Count | None = None


class EncryptionSettings(Section, frozen=True):
    """Encryption of what the hub stores. `at_rest`: content is sealed; credentials always are. `key`: where
    the master key is kept, in the file `master.key`, in the keyring, or wherever a command reads it."""

    at_rest: bool = False
    key: MasterKey = "file"


class AuditSettings(Section, frozen=True):
    """The audit. `messages`: it has an entry for each message, too, without its content."""

    messages: bool = False


class IssuerSettings(Section, frozen=True):
    """An OIDC issuer whose tokens are accepted. `audience`: what their `aud` must contain. `jwks_url`: where
    its keys are, unless its configuration is to be asked. `scopes`: what its tokens allow at most."""

    issuer: HttpUrl
    audience: Annotated[str, Meta(min_length=1)]
    jwks_url: HttpUrl | None = None
    allow_private: bool = False
    scopes: tuple[Literal["read", "send", "approve", "admin"], ...] = ("read", "send")


class AuthSettings(Section, frozen=True):
    """Who may use the hub, besides its owner and those to whom it issues tokens."""

    issuers: dict[PeerName, IssuerSettings] = {}

    def __post_init__(self) -> None:
        if len({entry.issuer for entry in self.issuers.values()}) < len(self.issuers):
            raise ValueError("two entries have the same issuer")
        if AGENT in self.issuers:  # its subjects would be those of programs
            raise ValueError(f"the name {AGENT!r} is reserved for the programs of peers")


class NotifySettings(Section, frozen=True):
    """Who is notified, and of what. A `webhook` and `ntfy` have a `url`, a `command` has the program and its
    arguments (no shell is used). `name`: its kind, unless it is set. `on`: the types of events. `after`: the
    seconds that a turn must have taken for `turn.completed`. `secret_env`: the name of the variable with the
    key of a webhook's signature, or with the access token for ntfy; a command gets that variable."""

    kind: Literal["webhook", "command", "ntfy", "desktop"]
    on: tuple[NotifiedOf, ...]
    name: PeerName | None = None
    url: HttpUrl | None = None
    command: tuple[Argument, ...] = ()
    after: Annotated[float, Meta(ge=0)] = 0
    secret_env: Variable | None = None
    allow_private: bool = False

    def __post_init__(self) -> None:
        if not self.on:
            raise ValueError("on must name a type of events")
        is_posted = self.kind in ("webhook", "ntfy")
        if is_posted != (self.url is not None):
            raise ValueError(f"a {self.kind} needs a url" if is_posted else f"a {self.kind} has no url")
        if (self.kind == "command") != bool(self.command):
            raise ValueError(f"a {self.kind} {'needs a' if self.kind == 'command' else 'has no'} command")
        if self.kind == "webhook" and self.secret_env is None:
            raise ValueError("a webhook needs secret_env, the variable with the key of its signature")
        if self.kind == "desktop" and self.secret_env is not None:
            raise ValueError("a desktop has no secret_env")
        if self.allow_private and not is_posted:
            raise ValueError(f"a {self.kind} has no allow_private")
        if self.after and "turn.completed" not in self.on:
            raise ValueError("after applies to turn.completed, which is not in on")


class TimeoutSettings(Section, frozen=True):
    """Timeouts of one call to a model, in seconds."""

    connect: Seconds = 10
    first_chunk: Seconds = 60
    idle: Seconds = 60
    total: Seconds = 600


class BulkSettings(Section, frozen=True):
    """Bulk requests. `max_parallel`: operations that run at once, unless the request sets a number."""

    max_parallel: Annotated[int, Meta(ge=1, le=1000)] = 20


class LimitSettings(Section, frozen=True):
    """Limits of one caller over TCP. `connections_per_minute` (new ones) and `connections_at_once` count
    WebSockets and event streams. `messages_per_second` applies per API; `messages_burst` may be sent at once.
    `bytes_per_second`: of bodies and messages. `attempts_per_minute`: invalid credentials from one address
    that are answered with 401. `turns_at_once`: running turns. `tokens_per_hour`: of input and
    output together, within any 60 minutes; without it, there is no limit. `blob_bytes`: of all stored binary
    content.
    `body_bytes_at_once`: of the bodies of all requests, and the messages on all WebSockets."""

    message_bytes: Count = 1_048_576
    hops: Annotated[int, Meta(gt=0, le=64)] = 8
    fanout: Annotated[int, Meta(gt=0, le=10_000)] = 100
    connections_per_minute: Count = 1000
    connections_at_once: Count = 1000
    messages_per_second: Annotated[float, Meta(gt=0)] = 50
    messages_burst: Count = 200
    bytes_per_second: Count = 16_777_216
    attempts_per_minute: Count = 5
    body_bytes_at_once: Count = 134_217_728
    turns_at_once: Count = 200
    tokens_per_hour: Count | None = None
    blob_bytes: Count | None = 1_073_741_824


class Settings(Section, frozen=True):
    """The whole configuration. In `tools`, an entry with the name of a built-in coding agent has that agent's
    values for the keys that the user left out."""

    hub: HubSettings = HubSettings()
    store: StoreUrl = SQLITE
    providers: dict[str, ProviderSettings] = {}
    models: ModelSettings = ModelSettings()
    specialists: dict[PeerName, SpecialistSettings | None] = {}
    tools: dict[PeerName, ToolSettings | None] = {}
    teams: dict[PeerName, tuple[str, ...]] = {}
    mcp_servers: dict[PeerName, McpServerSettings] = {}
    permissions: PermissionSettings = PermissionSettings()
    quota: QuotaSettings = QuotaSettings("ask")
    session: SessionSettings = SessionSettings()
    projects: ProjectsSettings = ProjectsSettings()
    join: JoinSettings = JoinSettings()
    checkpoints: CheckpointSettings = CheckpointSettings()
    retention: RetentionSettings = RetentionSettings()
    encryption: EncryptionSettings = EncryptionSettings()
    audit: AuditSettings = AuditSettings()
    auth: AuthSettings = AuthSettings()
    budgets: dict[BudgetName, BudgetSettings] = {}
    notify: tuple[NotifySettings, ...] = ()
    bulk: BulkSettings = BulkSettings()
    timeouts: TimeoutSettings = TimeoutSettings()
    limits: LimitSettings = LimitSettings()
