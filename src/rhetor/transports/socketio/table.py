"""The route of Socket.IO. Its requests need no token: the client sends it in its first packet."""

from __future__ import annotations

from rhetor.auth.policy import Policy
from rhetor.transports.server.router import AppRoute

from .hub_endpoint import hub_endpoint

ROUTES = (AppRoute("/socket.io/", Policy.PUBLIC, hub_endpoint),)
