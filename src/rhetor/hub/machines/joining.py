"""Machines join the hub, are connected, lose their connection, and are removed."""

from __future__ import annotations

import hmac
import logging
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rhetor.domain.event import PeerStatusChanged
from rhetor.domain.identity import digest_of
from rhetor.domain.machine import LINK_VERSION, Hello, JoinedMachine, is_machine_name
from rhetor.domain.principal import NODE, Principal
from rhetor.domain.rule_commands import RemoveMachine
from rhetor.drivers.base import MachineLink, require_pattern
from rhetor.errors import MachineTaken, NotFound, Unprocessable
from rhetor.hub.catalog.machines import KIND, machine_of, machine_row
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.core.checks import require_person
from rhetor.hub.core.commits import commit_until_accepted
from rhetor.hub.programs.lifecycle import keep_until_ended
from rhetor.hub.sessions.unfinished_restores import finish_restores_on
from rhetor.store.base import Draft, Row

from .waiting import wake_waiting

if TYPE_CHECKING:
    from rhetor.hub.state import State

log = logging.getLogger(__name__)


async def load(state: State) -> None:
    """Add the machines that have joined an earlier hub, and their peers. None of them is connected yet."""
    await state.machines.load(state.store)
    for machine in state.machines:
        _link(state, machine.name)
        state.peers.join(machine.name, machine.peers)


async def join(state: State, principal: Principal, hello: Hello) -> tuple[JoinedMachine, MachineLink]:
    """Accept a machine, with the peers that it offers now, and return it with its link. Its name is the
    subject of its token.

    Raises:
        Forbidden: the caller's token does not have the scope `node`.
        Unprocessable: the name, an offer or the version of the protocol is invalid.
        MachineTaken: another machine has joined with this name.
        StoreRefused, ShuttingDown: nothing was stored; the machine may try again.
    """
    state.require_open()
    principal.require(NODE)
    name = principal.subject
    _check(name, hello)
    async with state.exclusively(f"machine {name.lower()}"):
        known = state.machines.find(name)
        now, digest = state.ids.now(), digest_of(hello.machine)
        if known is not None and (known.name != name or not hmac.compare_digest(known.digest, digest)):
            raise MachineTaken(known.name)
        machine = (known or JoinedMachine(name, digest, now, now)).heard(hello, now, state.nodes.own)
        await state.store.commit(HUB_STREAM, [], rows=[machine_row(machine)])
        if known is None:
            await state.audit.note(
                principal, "machine.join", name, f"host name {hello.hostname}", api="ws.node"
            )
        _use(state, machine)
        return machine, _link(state, name)


def _use(state: State, machine: JoinedMachine) -> None:
    state.machines.put(machine)
    before = [peer for peer in state.peers if peer.machine == machine.name]
    state.peers.join(machine.name, machine.peers)
    for peer in before:
        keep_until_ended(state, peer)


def mirror(state: State, name: str, row: Row | None) -> None:
    """Use a machine as it is stored, unless it is connected to this node. None: it was removed."""
    known = state.machines.find(name)
    if row is None:
        if known is not None and known.name == name:
            _forget(state, known)
        return
    machine = machine_of(row)
    if name in state.machines.here and machine.node in ("", state.nodes.own):
        return
    _use(state, machine)
    if known is None:
        _link(state, name)
    state.live.peer_changed(f"machine:{name}", *(peer.name for peer in machine.peers))


async def take_over(state: State, node: str) -> None:
    """Let the machines that were connected to a lost node belong to this one, to which they connect next.

    Raises:
        StoreRefused: the store rejected a commit.
    """
    for machine in [each for each in state.machines if each.node == node]:
        taken = replace(machine, node=state.nodes.own)
        await state.store.commit(HUB_STREAM, [], rows=[machine_row(taken)])
        state.machines.put(taken)


def _check(name: str, hello: Hello) -> None:
    if not is_machine_name(name):
        rule = "letters, digits, `_`, `.` and `-`, at most 64"
        raise Unprocessable(
            f"{name[:100]!r} cannot name a machine; issue a token whose subject has only {rule}"
        )
    if hello.version != LINK_VERSION:
        raise Unprocessable(
            f"rhetor join speaks version {hello.version} of the link, and the hub {LINK_VERSION}",
            hint="install the same release of rhetor on both machines",
        )
    for offers in (hello.offers, hello.projects):
        names = [each.name.lower() for each in offers]
        if len(set(names)) < len(names):
            raise Unprocessable("two offers have the same name")
    for offer in hello.offers:
        try:
            require_pattern(offer.prompt)
        except ValueError as error:
            raise Unprocessable(f"the prompt of {offer.name} is not a valid expression: {error}") from error


def _link(state: State, name: str) -> MachineLink:
    link = state.machine_links.of(name)
    link.changed = partial(_changed, state, name, link)
    return link


def _changed(state: State, name: str, link: MachineLink) -> None:
    """Note that a machine is connected, or that its connection has ended."""
    machine, now = state.machines.find(name), state.ids.now()
    if machine is None:
        return
    why = link.offline
    state.machines.note(name, online=why is None, now=now)
    if why is not None:
        state.machines.put(replace(machine, seen=now, why=why))
        log.info("machine disconnected", extra={"machine": name, "reason": why})
    else:
        log.info("machine connected", extra={"machine": name})
    state.background.start(_record(state, name), f"machine {name}")
    for instance in state.instances.values():
        if instance.peer.machine == name:
            instance.changed.set()
    state.notifier.notify()
    state.live.peer_changed(f"machine:{name}", *(peer.name for peer in state.peers if peer.machine == name))
    if why is None:
        wake_waiting(state, name)
        if state.files.exists:
            state.background.start(finish_restores_on(state, name), f"restores on {name}")


async def _record(state: State, name: str) -> None:
    """Store when and why a machine was last connected, and log its status in the hub's stream."""
    machine = state.machines.find(name)
    if machine is None or state.closing:
        return
    online = state.machines.is_online(name)
    status = "online" if online else "offline"
    change = PeerStatusChanged(f"machine:{name}", status, "it is connected" if online else machine.why)
    await commit_until_accepted(state.store, HUB_STREAM, [Draft(change)], [machine_row(machine)])


async def remove(state: State, principal: Principal, command: RemoveMachine) -> JoinedMachine:
    """Forget a machine: its connection ends, and its peers are gone. Programs that run there are recorded as
    lost; they continue until its own `rhetor join` finds that it is unknown, or their hosts give up.

    Raises:
        Forbidden: the caller is a program.
        NotFound: no machine has the name.
        StoreRefused: nothing was changed.
    """
    require_person(principal)
    machine = state.machines.find(command.name)
    if machine is None:
        raise NotFound(KIND, command.name)
    await state.store.commit(HUB_STREAM, [], drop=[(KIND, machine.name)])
    _forget(state, machine)
    return machine


def _forget(state: State, machine: JoinedMachine) -> None:
    state.machines.remove(machine.name)
    before = [peer for peer in state.peers if peer.machine == machine.name]
    state.peers.join(machine.name, [])
    state.machine_links.remove(machine.name)
    for peer in before:
        keep_until_ended(state, peer)
    state.live.peer_changed(f"machine:{machine.name}")
