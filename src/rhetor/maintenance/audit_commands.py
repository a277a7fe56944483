"""The commands `rhetor audit show` and `rhetor audit verify`. What they need is imported when they run."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

from rhetor.home import Home, accepts_connections

from .commands import moment, state_folder

LAST = 100
_AGO = re.compile(r"(\d{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_ENTRY = re.compile(r"(\d{1,15}):([0-9a-f]{64})")


def add_to(commands: Any) -> list[argparse.ArgumentParser]:
    """Add the parsers of the commands."""
    audit = commands.add_parser("audit", help="show or verify who did what from where")
    kinds = audit.add_subparsers(required=True, metavar="COMMAND", title="commands")
    show = kinds.add_parser("show", help="show the audit, the newest entries last")
    show.add_argument(
        "--since", type=_since, metavar="TIME", help="only since 2026-01-31T12:00, or 30m, 2h or 7d ago"
    )
    show.add_argument("--subject", metavar="NAME", help="only of this caller; `agent:*` for all agents")
    show.add_argument(
        "-n", dest="last", type=int, default=LAST, metavar="N", help=f"how many (default: {LAST}; 0: all)"
    )
    show.add_argument("--json", action="store_true", help="print one JSON object per entry")
    show.set_defaults(run=_show)
    verify = kinds.add_parser("verify", help="check that no entry was changed, removed, inserted or moved")
    verify.add_argument("--expect", type=_entry, metavar="N:CHAIN", help="fail unless entry N has this chain")
    verify.add_argument("--json", action="store_true", help="print JSON")
    verify.set_defaults(run=_verify)
    return [show, verify]


def _since(text: str) -> int:
    if found := _AGO.fullmatch(text):
        return int((time.time() - int(found[1]) * _SECONDS[found[2]]) * 1000)
    return moment(text)


def _entry(text: str) -> tuple[int, str]:
    found = _ENTRY.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"invalid entry {text!r}; use the last line of `rhetor audit verify`"
        )
    return int(found[1]), found[2]


def _show(arguments: argparse.Namespace) -> int:
    from rhetor.sealing.ring import Ring

    from . import audit
    from .sealing import encryption
    from .stores import require_file

    home = Home(state_folder(arguments), os.environ)
    require_file(home.folder, "read it from the running hub: GET /api/v2/audit, or the console")
    ring = Ring(home.folder, encryption(home.folder).key)
    last = arguments.last if arguments.last > 0 else None
    shown = audit.Shown(arguments.since, arguments.subject, last)
    if arguments.json:
        for entry in audit.entries(home.folder, shown, ring):
            sys.stdout.write(audit.as_json(*entry).decode() + "\n")
        return 0
    found = audit.lines(home.folder, shown, ring, is_running=accepts_connections(home.socket))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    audit.as_text(found, width, sys.stdout.write)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    import msgspec

    from rhetor.sealing.ring import Ring

    from . import audit
    from .sealing import encryption
    from .stores import require_file

    folder = state_folder(arguments)
    require_file(folder, "set store to sqlite after rhetor migrate --to sqlite:PATH, and verify that copy")
    done = audit.verify(folder, arguments.expect, Ring(folder, encryption(folder).key))
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(done).decode() + "\n")
    else:
        _report(done, sys.stdout.write)
    return 1 if done.findings else 0


def _report(done: Any, write: Callable[[str], object]) -> None:
    for finding in done.findings:
        write(f"{finding.kind}  {finding.place}  {finding.detail}\n")
    if done.findings:
        count = len(done.findings)
        write(f"{done.entries:,} entries: {count} {'finding' if count == 1 else 'findings'}\n")
    elif done.chains:
        write(f"{done.entries:,} entries of {len(done.chains)} chains, unchanged; the last ones are\n")
        for node, entries, chain in done.chains:
            write(f"{entries}:{chain}{f'  {node}' if node else ''}\n")
    else:
        write(f"{done.entries:,} entries, unchanged; the last one is\n{done.entries}:{done.chain}\n")
