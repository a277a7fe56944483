"""`python -m bench [NAME …]`: measure, print a table, and keep the figures as JSON under bench/out/."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from bench.table import Figure, keep, table

ALL = ("start", "append", "chunk", "bulk", "replay")


def main(names: list[str]) -> None:
    figures: list[Figure] = []
    for name in names or ALL:
        found = importlib.import_module(f"bench.{name}").run()
        figures += found
        sys.stdout.write(f"\n## {name}\n\n{table(found)}\n")
        sys.stdout.flush()
    keep(figures, Path(__file__).parent / "out" / "figures.json")


if __name__ == "__main__":
    main(sys.argv[1:])
