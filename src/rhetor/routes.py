"""The routes of all APIs, and the gate that checks each request before one of them serves it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rhetor.auth.access_tokens import AccessTokens
from rhetor.auth.addresses import Addresses
from rhetor.auth.agent_keys import KeysOfPrograms
from rhetor.auth.policy import Policy
from rhetor.auth.process_tree import Mark, Processes
from rhetor.auth.tokens import TokenFile
from rhetor.auth.verifier import Verifier
from rhetor.hub.catalog.identities import load_keys
from rhetor.hub.identity.grants import retire_hub_token
from rhetor.transports.console.table import ROUTES as CONSOLE
from rhetor.transports.mcp.table import ROUTES as MCP
from rhetor.transports.rest.table import ROUTES
from rhetor.transports.server import vendor
from rhetor.transports.server.gate import App, Gate
from rhetor.transports.server.node import Node
from rhetor.transports.server.router import Router, Row, Table
from rhetor.transports.socketio.table import ROUTES as SOCKETIO
from rhetor.transports.websocket.table import ROUTES as SOCKETS


def _compatible() -> Sequence[Row]:
    """Import the APIs of vendors, which many hubs never need: that takes 13 to 20 ms."""
    from rhetor.transports.compatible.table import ROUTES, SOCKETS

    return (*ROUTES, *SOCKETS)


TABLE = Table((*ROUTES, *SOCKETS, *SOCKETIO, *MCP, *CONSOLE), {vendor.PREFIX: _compatible})
# none of the others has this policy
NO_TOKEN = frozenset(row.path for row in TABLE.now if row.policy is Policy.PUBLIC)


def gated(node: Node, tokens: TokenFile, mark: Mark | None = None) -> App:
    """Return the app that serves all routes, behind the gate that checks each request. `mark`: of the
    processes that the hub starts."""

    def addresses() -> Addresses:
        assert node.addresses is not None
        return node.addresses

    def hosts() -> dict[int, str]:
        return {
            instance.running.host_pid: instance.peer.name
            for instance in node.hub.state.instances.values()
            if not instance.peer.machine  # its processes are not on this machine
        }

    state = node.hub.state
    keys_of_tokens = partial(load_keys, state.identities, state.store)
    node.access_tokens = AccessTokens(state.identities, keys_of_tokens, fetch=state.mirrors.fetch)
    state.identities.hub_token = tokens.digest
    if state.nodes.own:
        tokens.retired = state.identities.retired
        tokens.replaced = partial(retire_hub_token, state)
    node.logins.identities, node.logins.fetch = state.identities, state.mirrors.fetch
    keys = KeysOfPrograms(state.program_keys)
    node.verifier = Verifier(tokens, node.owner, node.access_tokens, keys, issuers=node.issuers)
    node.attempts.noted = node.note_attempt
    return Gate(
        Router(TABLE, node),
        addresses=addresses,
        verifier=node.verifier,
        logins=node.logins,
        tally=node.tally,
        attempts=node.attempts,
        owner=node.owner,
        public=NO_TOKEN,
        held=node.held,
        rates=node.byte_rates,
        processes=Processes(hosts, mark),
        refused=node.note_refusal,
        trusts_unidentified=lambda: node.trusts_unidentified,
        passing=lambda: node.passing,
    )
