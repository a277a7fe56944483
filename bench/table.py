"""Figures and their targets, as a Markdown table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One row of a table. If there is no target, `target` is empty and `holds` is None."""

    what: str
    measured: str
    target: str = ""
    holds: bool | None = None


def table(figures: Sequence[Figure]) -> str:
    """Return the rows as a Markdown table."""
    rows = [("what", "measured", "target", "")]
    rows += [
        (f.what, f.measured, f.target, {True: "met", False: "missed", None: ""}[f.holds]) for f in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def keep(tables: Mapping[str, Sequence[Figure]], file: Path) -> None:
    """Store the tables as JSON. Tables that `file` already has and `tables` does not have are kept."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = {name: [asdict(f) for f in figures] for name, figures in {**kept(file), **tables}.items()}
    file.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


def kept(file: Path) -> dict[str, list[Figure]]:
    """Return the tables that `keep` has stored; none if there is no such file."""
    rows = json.loads(file.read_text()) if file.exists() else {}
    return {name: [Figure(**row) for row in figures] for name, figures in rows.items()}
