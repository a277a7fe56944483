"""A configuration that is read again, put into a hub that runs.

All of it takes effect at once, or nothing does: what does not hold up is refused, and the running one stays.
Turns that run go on with what they began with.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from rhetor.errors import RhetorError
from rhetor.home import Home
from rhetor.hub.active import RunningTurn
from rhetor.hub.programs.lifecycle import keep_while_it_runs
from rhetor.settings import Settings, differing
from rhetor.transports.server.node import Node, Reloaded
from rhetor.transports.server.rates import Rates
from rhetor.transports.server.server import require_own
from rhetor.wiring import Configured, configure

# the sockets are bound, and the clock of an idle hub runs
AT_START_ONLY = frozenset({"hub.host", "hub.port", "hub.idle_exit"})
log = logging.getLogger(__name__)


class Reloading:
    """`read` gives the settings as they are now; `made`: what is in force from the start. `node`: to be set
    before anything is reloaded."""

    def __init__(
        self, read: Callable[[], Settings], home: Home, environment: Mapping[str, str], made: Configured
    ) -> None:
        self._read = read
        self._home = home
        self._environment = environment
        self._made = made
        self._retired: list[Configured] = []
        self.node: Node | None = None

    def reload(self) -> Reloaded:
        """What has changed.

        Raises:
            InvalidSettings: the configuration does not hold up; says where. Nothing has changed.
        """
        assert self.node is not None
        old, settings = self._made, self._read()
        changed = differing(old.settings, settings)
        require_own(settings.hub.host)  # what would not start is no configuration either
        if changed:
            self._made = new = configure(settings, self._home, self._environment)
            new.access.take_over(old.access.environment)  # a shell may have handed over others meanwhile
            self._put(self.node, new)
            self._retire(old)
        log.info("configuration read again", extra={"changed": changed})
        later = [key for key in changed if key in AT_START_ONLY]
        return Reloaded([key for key in changed if key not in AT_START_ONLY], later)

    def try_reload(self) -> None:
        """The same for who can be told nothing."""
        try:
            self.reload()
        except RhetorError as error:
            log.error("configuration refused, the running one stays", extra={"why": error.detail})

    async def aclose(self) -> None:
        for made in (self._made, *self._retired):
            await made.aclose()

    def _put(self, node: Node, new: Configured) -> None:
        state, settings = node.hub.state, new.settings
        state.peers.configure(new.peers, settings.teams)
        for instance in list(state.instances.values()):
            keep_while_it_runs(state, instance.peer)
        state.drivers, state.limits, state.launches = new.drivers, new.limits, new.programs.launch
        node.providers, node.programs = new.access, new.programs
        node.max_parallel = settings.bulk.max_parallel
        limits = settings.limits
        node.rates = Rates(limits.messages_per_second, limits.messages_burst)
        node.connections.limit(limits.connections_per_minute, limits.connections_at_once)
        node.attempts.per_minute = limits.attempts_per_minute
        assert node.addresses is not None
        node.addresses = node.addresses.allowing(settings.hub.allowed_hosts, settings.hub.allowed_origins)
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
