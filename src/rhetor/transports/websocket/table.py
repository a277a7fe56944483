"""All WebSocket routes: who may use each one, and which handler serves it."""

from __future__ import annotations

from rhetor.auth.policy import Policy
from rhetor.transports.server.placement import of_machine, of_peer
from rhetor.transports.server.router import SocketRoute

from . import attach, interactive, machine, named, peer

ROUTES = (
    SocketRoute("/ws", Policy.READ, interactive.loop, "ws"),
    SocketRoute("/ws/ai/{id}", Policy.READ, peer.peer_socket, "ws.ai"),
    SocketRoute("/ws/socket/{socket_id}", Policy.READ, named.named_socket, "ws.socket"),
    SocketRoute("/ws/node", Policy.NODE, machine.join, "ws.node", at=of_machine),
    SocketRoute("/ws/attach/{peer}", Policy.READ, attach.attach, "ws.attach", at=of_peer("peer")),
)
