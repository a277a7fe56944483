"""`rhetor token issue|list|revoke` and `rhetor keys rotate --signing`: tokens and keys of the running hub.

They use the owner's Unix socket.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from rhetor.home import Home

FindHome = Callable[[argparse.Namespace], Home]


def add_to(token: argparse.ArgumentParser, home: FindHome) -> list[argparse.ArgumentParser]:
    """Add the commands below `rhetor token`, and return their parsers."""
    commands = token.add_subparsers(metavar="COMMAND", title="commands")
    issue = commands.add_parser("issue", help="issue a token with a name, and print it")
    issue.add_argument("name", metavar="NAME", help="name, by which the token is listed and revoked")
    issue.add_argument(
        "--scopes",
        required=True,
        metavar="A,B",
        help="what the token allows: read, send, approve, admin; or node, for a machine",
    )
    issue.add_argument(
        "--ttl", type=int, metavar="SECONDS", help="time for which it is valid (default: 30 days)"
    )
    issue.add_argument("--subject", metavar="NAME", help="caller that it stands for (default: its own name)")
    listed = commands.add_parser("list", help="list the tokens that are valid now")
    listed.add_argument("--json", action="store_true", help="print JSON")
    revoke = commands.add_parser("revoke", help="revoke a token; its connections end within 5 s")
    revoke.add_argument("name", metavar="NAME", help="name of the token, or id if it has none")
    for parser, run in ((issue, _issue), (listed, _list), (revoke, _revoke)):
        parser.set_defaults(run=run, find_home=home)
    return [issue, listed, revoke]


def rotate_signing(arguments: argparse.Namespace) -> int:
    """Replace the key that signs tokens, and report how long the old one is valid."""
    found = _call(arguments.find_home(arguments), "POST", "/api/v2/signing-keys/rotate")
    sys.stdout.write(f"new tokens are signed with the key {found['kid']}\n")
    ended = f"; that ends {_counted(found['ended'])}" if found["ended"] else ""
    sys.stdout.write(f"the old key is valid until {found['old_ends_at']}{ended}\n")
    return 0


def _counted(names: Sequence[str]) -> str:
    tokens = "token" if len(names) == 1 else "tokens"
    return f"{len(names)} {tokens} early: {', '.join(names)}"


def _issue(arguments: argparse.Namespace) -> int:
    given = {"ttl": arguments.ttl, "subject": arguments.subject}
    scopes = [scope.strip() for scope in arguments.scopes.split(",") if scope.strip()]
    body = {"name": arguments.name, "scopes": scopes, **{k: v for k, v in given.items() if v is not None}}
    found = _call(arguments.find_home(arguments), "POST", "/api/v2/tokens", body)
    sys.stdout.write(f"{found['token']}\n")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    found = _call(arguments.find_home(arguments), "GET", "/api/v2/tokens")
    if arguments.json:
        sys.stdout.write(json.dumps(found["tokens"]) + "\n")
        return 0
    for each in found["tokens"]:
        renewable = "; can be refreshed" if each["renewable"] else ""
        scopes = ",".join(each["scopes"])
        sys.stdout.write(
            f"{each['name']}: {each['subject']}, {scopes}, until {each['expires_at']}{renewable}\n"
        )
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    name = arguments.name
    _call(arguments.find_home(arguments), "DELETE", f"/api/v2/tokens/{quote(name, safe='')}")
    sys.stdout.write(f"revoked {name}\n")
    return 0


def _call(home: Home, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Send a request to the running hub.

    Raises:
        Forbidden: the caller is a program of a peer.
        RequestRejected: the hub rejected it.
        NoHub: no hub is running.
    """
    from rhetor.auth.process_tree import reject_programs
    from rhetor.hub_client import ask

    reject_programs(home.folder)
    return ask(home.socket, method, path, body)
