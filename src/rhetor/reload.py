"""Reads the configuration again and applies it to the running hub, also after changing its file.

Either the whole configuration takes effect, or nothing changes: an invalid one is rejected. Running turns
continue with the configuration that they started with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from rhetor.domain.principal import Principal
from rhetor.drivers.local.models import LocalModels
from rhetor.drivers.models.access import ModelAccess
from rhetor.errors import InvalidSettings, RhetorError, StateConflict
from rhetor.home import Home
from rhetor.hub.active import RunningTurn
from rhetor.hub.programs.lifecycle import keep_until_ended
from rhetor.settings import Settings, Source, differing
from rhetor.settings.config_file import MAX_BYTES
from rhetor.settings.file_text import TextChanged, read_text, replace_text
from rhetor.transports.server.certificate import LoadedCertificate, TlsFiles, load_certificate, tls_files
from rhetor.transports.server.node import RELOAD, Node, Reloaded
from rhetor.transports.server.rates import Rates
from rhetor.transports.server.server import require_protected
from rhetor.wiring import Configured, configure, issuers_of

# keys that are used only when the hub starts: to bind its sockets, to start the timer of an idle hub, and to
# open the store
RESTART_ONLY = frozenset(
    {
        "hub.host",
        "hub.port",
        "hub.idle_exit",
        "hub.node_address",
        "store",
        "encryption.at_rest",
        "encryption.key",
    }
)
TLS = frozenset({"hub.tls_cert", "hub.tls_key"})  # the same, if TLS is turned on or off
_ATTEMPTS, _PAUSE = 20, 0.05  # seconds
log = logging.getLogger(__name__)


class _Prepared(NamedTuple):
    """Settings that were checked. `new`: what they define; None if nothing has changed."""

    changed: list[str]
    files: TlsFiles | None
    loaded: LoadedCertificate | None
    new: Configured | None

    async def discard(self) -> None:
        if self.new is not None:
            await self.new.aclose()


class Reloading:
    """Reloads the configuration of one hub. `source`: where its settings come from; `made` is what is in
    force at first. `node` must be set before the first reload."""

    def __init__(self, source: Source, home: Home, environment: Mapping[str, str], made: Configured) -> None:
        self.source = source
        self._one_at_a_time = asyncio.Lock()
        self._home = home
        self._environment = environment
        self._made = made
        self._retired: list[Configured] = []
        self.node: Node | None = None

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._made.settings

    @property
    def access(self) -> ModelAccess:
        """Access to the models that are configured now."""
        return self._made.access

    @property
    def small(self) -> LocalModels:
        """The models that the hub itself runs."""
        return self._made.small

    async def reload(self) -> Reloaded:
        """Read and apply the configuration; return the keys that changed.

        Raises:
            InvalidSettings: the configuration is invalid, or a provider says that it does not have a model
                that is named there. Nothing was changed. `detail` says where.
        """
        async with self._one_at_a_time:
            return self._apply(await self._prepared(self.source.read()))

    async def change(self, edit: Callable[[str], str]) -> Reloaded:
        """Change the text of the file and apply it; return the keys that changed. `edit` returns the new text
        of a text. It is called again if somebody else changes the file in the meantime.

        Raises:
            InvalidSettings: as `reload`, or the file cannot be changed.
            StateConflict: others keep changing the file.
        """
        async with self._one_at_a_time:
            for _ in range(_ATTEMPTS):
                before = await asyncio.to_thread(read_text, self.source.path)
                after = await asyncio.to_thread(edit, before)
                if len(after.encode()) > MAX_BYTES:
                    raise InvalidSettings(f"the file would be larger than {MAX_BYTES} bytes")
                prepared = await self._prepared(self.source.read(after), after)
                try:
                    # no await until it is applied: a caller that leaves does not separate the two
                    if after != before:
                        replace_text(self.source.path, before, after)
                except TextChanged:
                    await prepared.discard()
                    await asyncio.sleep(_PAUSE)
                    continue
                except BaseException:  # also if the caller leaves
                    await prepared.discard()
                    raise
                return self._apply(prepared)
        raise StateConflict("configuration", str(self.source.path), None, changed=True)

    async def _prepared(self, settings: Settings, text: str | None = None) -> _Prepared:
        """Check the settings, and return what they define."""
        assert self.node is not None
        changed = differing(self._made.settings, settings)
        files = tls_files(settings.hub.tls_cert, settings.hub.tls_key)
        # the hub could not start again with an address that is not protected, or an unusable certificate
        require_protected(settings.hub.host, tls=files is not None)
        loaded = load_certificate(files) if files else None
        return _Prepared(changed, files, loaded, await self._checked(settings, text) if changed else None)

    def _apply(self, prepared: _Prepared) -> Reloaded:
        assert self.node is not None
        old, new, changed = self._made, prepared.new, prepared.changed
        if new is not None:
            # a shell may have sent other variables in the meantime
            if new.access.environment != old.access.environment:
                new.access.take_over(old.access.environment)
            self._made = new
            self._put(self.node, new)
            self._retire(old)
        else:  # a provider may have another model now
            self.node.hub.state.background.start(old.access.check_models(), "models")
        later = RESTART_ONLY if self._renew(prepared.files, prepared.loaded) else RESTART_ONLY | TLS
        log.info("configuration reloaded", extra={"changed": changed})
        return Reloaded(
            [key for key in changed if key not in later], [key for key in changed if key in later]
        )

    def _renew(self, files: TlsFiles | None, loaded: LoadedCertificate | None) -> bool:
        """Use the certificate for new connections; return whether that is possible while the hub runs."""
        assert self.node is not None
        if self.node.certificate is None or files is None or loaded is None:
            return self.node.certificate is None and files is None
        self.node.certificate.use(files, loaded)
        return True

    async def _checked(self, settings: Settings, text: str | None) -> Configured:
        """Return what the settings define, after their providers were asked for the models that they name."""
        assert self.node is not None
        secrets, added = self.node.hub.state.secrets, self._made.servers.added
        keys = self.node.hub.state.program_keys
        new = configure(
            settings,
            self._home,
            self._environment,
            secrets,
            added,
            spools=self._made.spools,
            keys=keys,
            kept=self._made.kept,
            small=self._made.small,
        )
        try:
            # a shell may have sent other variables since the hub started
            new.access.take_over(self._made.access.environment)
            for finding in await new.access.check_models():
                if finding.unknown and finding.keys in new.named:
                    raise self.source.invalid(finding.keys, finding.reason, text)
        except BaseException:  # also if the caller is cancelled
            await new.aclose()
            raise
        return new

    def try_reload(self) -> None:
        """Reload on a signal: like `reload`, but log an error instead of raising it."""
        assert self.node is not None
        self.node.hub.state.background.start(self._try(self.node), "reload")

    async def _try(self, node: Node) -> None:
        who = Principal(node.owner, credential="signal")
        try:
            async with node.hub.state.audit.action(who, RELOAD) as acting:
                acting.detail = (await self.reload()).summary
        except RhetorError as error:
            log.error("invalid configuration rejected", extra={"reason": error.detail})

    async def aclose(self) -> None:
        """Close every configuration that is still open."""
        for made in (self._made, *self._retired):
            await made.aclose()
        await self._made.small.aclose()

    def _put(self, node: Node, new: Configured) -> None:
        state, settings = node.hub.state, new.settings
        state.peers.configure(new.peers, settings.teams)
        for instance in list(state.instances.values()):
            keep_until_ended(state, instance.peer)
        state.drivers, state.limits, state.launches = new.drivers, new.limits, new.programs.launch
        state.peers.use_installed(new.programs.is_usable)
        state.inputs = new.access.inputs
        state.usage.recent.is_counting = new.limits.tokens_per_hour is not None
        state.tool_servers, state.files.max_file_bytes = new.servers, settings.checkpoints.max_file_bytes
        state.budgets.configure(new.budgets)
        state.notifications.configure(new.senders)
        node.providers, node.programs = new.access, new.programs
        node.max_parallel = settings.bulk.max_parallel
        limits = settings.limits
        node.held.limit = limits.body_bytes_at_once
        node.rates = Rates(limits.messages_per_second, limits.messages_burst)
        node.byte_rates.per_second = limits.bytes_per_second
        node.connections.limit(limits.connections_per_minute, limits.connections_at_once)
        node.attempts.per_minute = limits.attempts_per_minute
        assert node.addresses is not None
        node.addresses = node.addresses.allowing(settings.hub.allowed_hosts, settings.hub.allowed_origins)
        node.trusts_unidentified = settings.hub.trust_unidentified
        if node.issuers is not None:
            node.issuers.configure(issuers_of(settings))
        new.small.configure(settings.models.local.use, settings.models.local.idle)
        node.told_offline = False
        state.background.start(new.access.warm_up(), "warm-up")

    def _retire(self, old: Configured) -> None:
        assert self.node is not None
        state = self.node.hub.state
        self._retired.append(old)
        state.background.start(self._let_end(old, list(state.running_turns())), "retired configuration")

    async def _let_end(self, old: Configured, turns: Iterable[RunningTurn]) -> None:
        assert self.node is not None
        state = self.node.hub.state
        while not state.closing:
            heard = state.notifier.next()
            running = list(state.running_turns())
            if not any(turn in running for turn in turns):
                self._retired.remove(old)
                await old.aclose()
                return
            await heard.wait()
