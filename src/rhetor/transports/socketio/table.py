"""The route of Socket.IO. Its requests need no token: the client sends it in its first packet."""

from __future__ import annotations

from rhetor.auth.policy import Policy
from rhetor.transports.server.placement import of_query
from rhetor.transports.server.router import AppRoute

from .connection import API
from .hub_endpoint import hub_endpoint

ROUTES = (AppRoute("/socket.io/", Policy.PUBLIC, hub_endpoint, API, at=of_query("sid")),)
