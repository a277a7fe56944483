"""`rhetor config show|replace`: the configuration, with or without a running hub."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rhetor.home import Home

FindHome = Callable[[argparse.Namespace], Home]
FindFile = Callable[[argparse.Namespace, Path], Path]


def add_to(commands: Any, home: FindHome, file: FindFile) -> list[argparse.ArgumentParser]:
    """Add `rhetor config`, and return the parsers that take a state folder and a file."""
    config = commands.add_parser("config", help="show or replace the configuration")
    kinds = config.add_subparsers(required=True, metavar="COMMAND", title="commands")
    show = kinds.add_parser("show", help="print the configuration, and where each value comes from")
    show.set_defaults(run=_show)
    replace = kinds.add_parser(
        "replace", help="replace the configuration file with standard input, if that is valid"
    )
    replace.add_argument("--digest", help="SHA-256 of the old text; if it differs, nothing is done")
    replace.set_defaults(run=_replace)
    for parser in (show, replace):
        parser.set_defaults(find_home=home, find_file=file)
    return [show, replace]


def _show(arguments: argparse.Namespace) -> int:
    from rhetor.settings import Source

    source = Source(arguments.find_file(arguments, arguments.find_home(arguments).folder))
    for key, value, origin in source.shown(source.read()):
        shown = value if isinstance(value, str) else json.dumps(value)
        sys.stdout.write(f"{key}: {shown}  ({origin})\n")
    return 0


def _replace(arguments: argparse.Namespace) -> int:
    """Replace the file through the running hub, which uses it at once, or by itself if no hub is running.

    Raises:
        InvalidSettings: the text is invalid, or the file cannot be written.
        StateConflict: the file has another text than that of `--digest`.
    """
    from rhetor.auth.process_tree import reject_programs
    from rhetor.errors import InvalidSettings
    from rhetor.hub_client import NoHub, ask

    home = arguments.find_home(arguments)
    reject_programs(home.folder)
    path = arguments.find_file(arguments, home.folder)
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise InvalidSettings(f"the text is not UTF-8: {error}") from error
    try:
        changed = ask(home.socket, "PUT", "/api/v2/config/file", {"text": text, "digest": arguments.digest})
    except NoHub:
        _write(path, text, arguments.digest)
        changed = {"path": str(path), "changed": [], "needs_restart": []}
    sys.stdout.write(f"wrote {changed['path']}\n")
    for word, keys in (("changed", "changed"), ("takes effect when the hub restarts", "needs_restart")):
        if changed[keys]:
            sys.stdout.write(f"{word}: {', '.join(changed[keys])}\n")
    return 0


def _write(path: Path, text: str, digest: str | None) -> None:
    from rhetor.errors import StateConflict
    from rhetor.settings import Source
    from rhetor.settings.file_text import TextChanged, digest_of, read_text, replace_text

    before = read_text(path)
    if digest is not None and digest != digest_of(before):
        raise StateConflict("configuration", str(path), None, changed=True)
    Source(path).read(text)
    try:
        replace_text(path, before, text)
    except TextChanged:
        raise StateConflict("configuration", str(path), None, changed=True) from None
