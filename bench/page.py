"""The figures that were measured last, as a page of the documentation."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.disk import file_system
from bench.table import Figure, table

HEAD = """\
# Benchmarks

What `make bench` printed last, written by `python -m bench --docs`. Measured on
{machine},
which does other work beside it: times differ from run to run by a third and more, so read ratios, which are
taken within one run, in turn with what they stand beside. A target that is not met says `misses`.

The programs beside ours are installed by the benchmark under `~/.cache/aish-bench`, each in an environment of
its own and pinned; the model behind all of them is the tests' scripted provider on loopback.
The hub runs with limits of connections and messages that nothing here meets (`limits.*` at 1,000,000).
"""


def page(tables: Mapping[str, Sequence[Figure]]) -> str:
    """All tables, each under what its benchmark says of itself."""
    parts = [HEAD.format(machine=_machine())]
    for name, figures in tables.items():
        rows = [replace(figure, what=figure.what.replace("|", "\\|")) for figure in figures]
        parts.append(f"\n## {name}\n{_said(name)}\n\n{table(rows)}\n")
    return "".join(parts)


def _machine() -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"a virtual machine with {os.cpu_count()} cores, {python}, {file_system()}"


def _said(name: str) -> str:
    """The module's docstring, without how it is called."""
    text = (importlib.import_module(f"bench.{name}").__doc__ or "").strip()
    return "\n\n".join(part for part in text.split("\n\n") if not part.startswith("    "))
