"""The routes of MCP. Its library is loaded only when the first of them is used."""

from __future__ import annotations

from rhetor.auth.policy import Policy
from rhetor.transports.server.placement import of_header
from rhetor.transports.server.router import AppRoute, SocketRoute

from .caller import API
from .endpoint import SESSION, endpoint_of
from .socket import mcp_socket

ROUTES = (
    AppRoute("/mcp", Policy.READ, endpoint_of, API, at=of_header(SESSION)),
    SocketRoute("/ws/mcp", Policy.READ, mcp_socket, f"ws.{API}"),
)
