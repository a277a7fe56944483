"""The page of the documentation with the results of the last run."""

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

These are the results of the last run of `make bench`; `python -m bench --docs` writes this page. They were
measured on {machine}.
The machine also does other work, so times differ by a third or more between runs. Compare the ratios: the two
values of a ratio are measured in the same run, alternately. The last column shows whether a target was met or
missed. `p50` is the median, and `p99` the value below which 99% of the measurements are.

The benchmarks install the programs for comparison under `~/.cache/aish-bench`, in pinned versions, each in
its own environment. All of them use the scripted provider of the tests, on loopback, as their model. The hub
runs with limits on connections and messages that no benchmark reaches (`limits.*` at 1,000,000).
"""


def page(tables: Mapping[str, Sequence[Figure]]) -> str:
    """Return the page: all tables, each below the docstring of its benchmark."""
    parts = [HEAD.format(machine=_machine())]
    for name, figures in tables.items():
        rows = [replace(figure, what=figure.what.replace("|", "\\|")) for figure in figures]
        parts.append(f"\n## {name}\n{_about(name)}\n\n{table(rows)}\n")
    return "".join(parts)


def _machine() -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"a virtual machine with {os.cpu_count()} cores, {python}, {file_system()}"


def _about(name: str) -> str:
    """Return the docstring of the benchmark's module without the paragraphs that show its command line."""
    text = (importlib.import_module(f"bench.{name}").__doc__ or "").strip()
    return "\n\n".join(part for part in text.split("\n\n") if not part.startswith("    "))
