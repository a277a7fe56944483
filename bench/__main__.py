"""`python -m bench [NAME …]`: run benchmarks, print tables, and store the figures as JSON in bench/out/.

`python -m bench --docs` runs nothing, and writes the stored figures to docs/benchmarks.md.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from bench.page import page
from bench.process import ROOT
from bench.table import keep, kept, table

ALL = (
    "start",
    "completion",
    "append",
    "chunk",
    "first_chunk",
    "bulk",
    "replay",
    "gateway",
    "fanout",
    "tls",
    "tokens",
    "encryption",
    "socketio",
    "mcp",
    "memory",
    "bodies",
    "programs",
    "analytics",
    "postgres",
    "checkpoints",
    "console",
)
OUT = Path(__file__).parent / "out" / "figures.json"
DOCS = ROOT / "docs" / "benchmarks.md"


def main(arguments: list[str]) -> None:
    if arguments == ["--docs"]:
        found = kept(OUT)
        DOCS.write_text(page({name: found[name] for name in ALL if name in found}))
        return
    for name in arguments or ALL:
        figures = importlib.import_module(f"bench.{name}").run()
        sys.stdout.write(f"\n## {name}\n\n{table(figures)}\n")
        sys.stdout.flush()
        keep({name: figures}, OUT)


if __name__ == "__main__":
    main(sys.argv[1:])
