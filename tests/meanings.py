"""The meaning of each setting, from the page on the configuration: `python -m tests.meanings` writes the copy
that the hub shows."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "configuration.md"
COPY = ROOT / "src" / "rhetor" / "settings" / "meanings.py"
HEAD = '''"""What each setting means, as docs/reference/configuration.md says, without its links.

`python -m tests.meanings` writes this file; a test checks that it is the same.
"""

# fmt: off
# ruff: noqa: E501
'''


def meanings() -> dict[str, str]:
    """Return the meaning of each key in the tables of the page, as plain text."""
    rows = re.findall(r"^\| `([^`]+)` \|[^|]*\| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    return {key: plain(text) for key, text in rows if re.fullmatch(r"[a-zN][\w.A-Z]*", key)}


def plain(markdown: str) -> str:
    """Return a line of Markdown without links, backticks and emphasis."""
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", markdown).replace("`", "").replace("\\|", "|")
    return re.sub(r"\*(\w+)\*", r"\1", text).strip()


def written(found: dict[str, str]) -> str:
    """Return the text of the copy."""
    rows = "".join(f"    {key!r}: {text!r},\n" for key, text in found.items())
    return f"{HEAD}MEANINGS = {{\n{rows}}}\n"


if __name__ == "__main__":
    COPY.write_text(written(meanings()))
