"""The machines that have joined the hub: `/api/v2/machines`."""

from __future__ import annotations

from typing import Any

from rhetor.domain.machine import JoinedMachine
from rhetor.domain.principal import ADMIN
from rhetor.domain.rule_commands import RemoveMachine
from rhetor.domain.timestamps import timestamp
from rhetor.transports.server.call import Call


async def list_machines(call: Call) -> dict[str, Any]:
    """List the machines that have joined, connected or not. Folders are shown only to callers with the scope
    admin."""
    return {"machines": [_shape(call, machine) for machine in call.hub.state.machines]}


async def remove(call: Call, name: str) -> dict[str, str]:
    """Forget a machine. Its connection ends, and its peers are gone; to keep it away, revoke its token."""
    removed: JoinedMachine = await call.execute(RemoveMachine(name))
    return {"name": removed.name, "status": "removed"}


def _shape(call: Call, machine: JoinedMachine) -> dict[str, Any]:
    machines, sees_places = call.hub.state.machines, call.who.has(ADMIN)
    online = machines.is_online(machine.name)
    return {
        "name": machine.name,
        "status": "online" if online else "offline",
        "evidence": "it is connected" if online else machine.why,
        "since": timestamp(machines.since(machine.name)),
        "seen_at": timestamp(call.hub.state.ids.now() if online else machine.seen),
        "joined_at": timestamp(machine.since),
        "hostname": machine.hostname,
        "release": machine.release,
        "peers": [peer.name for peer in machine.peers],
        "projects": [
            {"name": each.name, "path": each.path if sees_places else None} for each in machine.projects
        ],
    }
