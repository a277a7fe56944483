"""The commands `rhetor keys show|rotate|move`: the data keys, with which the hub seals what it stores."""

from __future__ import annotations

import argparse
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rhetor.home import Home, HomeTaken

WRONG_USAGE = 2
FindHome = Callable[[argparse.Namespace], Home]
Run = Callable[[argparse.Namespace], int]


def add_to(commands: Any, home: FindHome, rotate_signing: Run) -> list[argparse.ArgumentParser]:
    """Add `rhetor keys`, and return the parsers that take a state folder. `rotate_signing`: replaces the key
    that signs tokens."""
    keys = commands.add_parser("keys", help="show and replace data keys, and the key that signs tokens")
    kinds = keys.add_subparsers(required=True, metavar="COMMAND", title="commands")
    show = kinds.add_parser("show", help="list the data keys by id, with their dates")
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(run=_show)
    rotate = kinds.add_parser("rotate", help="seal content with a new data key; the hub may be running")
    rotate.add_argument("--signing", action="store_true", help="replace the key that signs tokens instead")
    rotate.set_defaults(run=lambda given: rotate_signing(given) if given.signing else _rotate(given))
    move = kinds.add_parser(
        "move", help="wrap the data keys with the master key that encryption.key names now"
    )
    move.add_argument(
        "--from", dest="source", required=True, metavar="SOURCE", help="previous value of encryption.key"
    )
    move.set_defaults(run=_move)
    for parser in (show, rotate, move):
        parser.set_defaults(find_home=home)
    return [show, rotate, move]


def _home(arguments: argparse.Namespace) -> Home:
    """Return the state folder.

    Raises:
        Forbidden: a program that runs as a peer calls this.
    """
    from rhetor.auth.process_tree import reject_programs

    home: Home = arguments.find_home(arguments)
    reject_programs(home.folder)
    return home


def _show(arguments: argparse.Namespace) -> int:
    import json

    from rhetor.sealing.ring import Ring

    folder = _home(arguments).folder
    keys, in_use = Ring(folder).listed(), _in_use(folder)
    if arguments.json:
        shown = [
            {"id": key.id, "created": key.created, "retired": key.retired, "in_use": key.key_id in in_use}
            for key in keys
        ]
        sys.stdout.write(json.dumps(shown) + "\n")
        return 0
    for key in keys:
        state = "seals new content" if key.retired is None and key is keys[-1] else "for older content"
        if key.retired is not None:
            needed = "still needed" if key.key_id in in_use else "not needed"
            state = f"replaced {_date(key.retired)}, {needed} by the database"
        sys.stdout.write(f"{key.id}: made {_date(key.created)}, {state}\n")
    if not keys:
        sys.stdout.write("no keys: nothing is sealed yet\n")
    return 0


def _in_use(folder: Path) -> set[bytes]:
    """Return the ids of the keys that the database needs."""
    from rhetor.settings import SQLITE, read_settings

    store = read_settings(folder / "config.yaml").store
    if store != SQLITE:
        import asyncio

        from rhetor.store.postgres.converting import keys_of

        return asyncio.run(keys_of(store))
    from rhetor.store.sqlite.sealed import keys_in_use
    from rhetor.store.sqlite.snapshot import snapshot

    if not (folder / "hub.db").exists():
        return set()
    try:
        with snapshot(folder / "hub.db") as source:
            return keys_in_use(source)
    except sqlite3.OperationalError:  # of an earlier version, which has sealed nothing
        return set()


def _date(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at / 1000))


def _rotate(arguments: argparse.Namespace) -> int:
    """Replace the key through the running hub, or in the folder if no hub is running."""
    from rhetor.hub_client import ask

    home = _home(arguments)
    try:
        home.lock()
    except HomeTaken:
        answer = ask(home.socket, "POST", "/api/v2/data-keys/rotate")
        sys.stdout.write(
            f"new content is sealed with the key {answer['id']}\n"
            "the hub seals older content again in the background; rhetor keys show lists what it needs\n"
        )
        return 0
    try:
        fresh = _ring(home.folder).rotate()
    finally:
        home.release()
    sys.stdout.write(
        f"new content is sealed with the key {fresh.hex()}\nthe next hub seals older content again\n"
    )
    return 0


def _ring(folder: Path) -> Any:
    from rhetor.sealing.ring import Ring

    from .sealing import encryption

    return Ring(folder, encryption(folder).key)


def _move(arguments: argparse.Namespace) -> int:
    """Wrap the keys with another master key. No hub may be running, because it has read the old one."""
    home = _home(arguments)
    try:
        home.lock()
    except HomeTaken:
        sys.stderr.write(f"rhetor: a hub is running in {home.folder}; stop it with aish shutdown\n")
        return WRONG_USAGE
    try:
        _ring(home.folder).move(arguments.source)
    finally:
        home.release()
    sys.stdout.write("the keys are wrapped with the master key of encryption.key now\n")
    left = home.folder / "master.key"
    if arguments.source == "file" and left.exists():
        sys.stdout.write(f"{left} is no longer needed: delete it\n")
    return 0
