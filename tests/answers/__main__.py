"""`python -m tests.answers [--write] [PROGRAM…]`: prints the table, or writes it to the page."""

from __future__ import annotations

import sys

from .page import is_right, lines_of, write
from .rows import ROWS
from .run import run
from .servers import missing


def main(words: list[str]) -> int:
    names = [word for word in words if word != "--write"]
    rows = [row for row in ROWS if row.name in names or not names]
    absent = {row.name: lacks for row in rows if (lacks := missing(row.needs))}
    rows = [row for row in rows if row.name not in absent]
    found = run(rows)
    wrong = 0
    for row in rows:
        print(*lines_of(row, found[row.name]), sep="\n")  # noqa: T201
        for number, cell in enumerate(found[row.name]):
            if not is_right(row, number, cell):
                wrong += 1
                print(f"wrong: {cell}", file=sys.stderr)  # noqa: T201
    for name, lacks in absent.items():
        print(f"not tried: {name} ({', '.join(lacks)} not installed)", file=sys.stderr)  # noqa: T201
    if "--write" in words and not wrong:
        write(found)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
