"""`rhetor machines [list|remove]`: the machines that have joined the running hub.

They use the owner's Unix socket.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from urllib.parse import quote

from rhetor.home import Home

FindHome = Callable[[argparse.Namespace], Home]


def add_to(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], home: FindHome
) -> list[argparse.ArgumentParser]:
    """Add the commands, and return their parsers."""
    machines = commands.add_parser("machines", help="list or remove the machines that have joined the hub")
    actions = machines.add_subparsers(required=True, metavar="COMMAND", title="commands")
    listed = actions.add_parser("list", help="list the machines, connected or not")
    listed.add_argument("--json", action="store_true", help="print JSON")
    remove = actions.add_parser("remove", help="forget a machine and its peers")
    remove.add_argument("name", metavar="NAME", help="name of the machine")
    for parser, run in ((listed, _list), (remove, _remove)):
        parser.set_defaults(run=run, find_home=home)
    return [listed, remove]


def _list(arguments: argparse.Namespace) -> int:
    from rhetor.hub_client import ask

    found = ask(arguments.find_home(arguments).socket, "GET", "/api/v2/machines")["machines"]
    if arguments.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return 0
    for each in found:
        peers = ", ".join(each["peers"]) or "no programs"
        sys.stdout.write(
            f"{each['name']}: {each['status']} since {each['since']} ({each['evidence']}); {peers}\n"
        )
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    from rhetor.auth.process_tree import reject_programs
    from rhetor.hub_client import ask

    home = arguments.find_home(arguments)
    reject_programs(home.folder)
    ask(home.socket, "DELETE", f"/api/v2/machines/{quote(arguments.name, safe='')}")
    sys.stdout.write(f"removed {arguments.name}\n")
    return 0
