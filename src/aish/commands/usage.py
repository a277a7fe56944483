"""`aish usage`: the tokens and the cost of turns, with bar charts on a terminal."""

from aish.client.hub import Hub
from aish.commands import JSON_WORDS, take_value, usage_error, wants_json
from aish.output import STDOUT, print_json, print_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Row = dict[str, Any]

_OPTIONS = {"--by": "group_by", "--from": "from", "--to": "to"}
_GROUPS = ("day", "peer", "model", "project", "caller")
_DAYS = 30  # up to the last one that are shown without --from
_NAMES = {"project": "(no project)", "caller": "(unknown)", "peer": "(unknown)", "model": "(unknown)"}
_NARROW = 60  # columns, below which a terminal shows less
_SHORTEST_NAME, _LONGEST_NAME = 4, 32
_SHORTEST_BAR, _LONGEST_BAR = 4, 40
_HEADING = ("tokens", "cost", "turns")
_EIGHTHS = " ▏▎▍▌▋▊▉"


def usage(words: "list[str]") -> int:
    """Show the tokens and the cost of turns, by default by day, of 30 days up to `--to`, which is today; or
    the budgets.

    Raises:
        Failure: the words are invalid, or the hub cannot be reached.
    """
    if "--budgets" in words:
        from aish.commands.budgets import show_budgets

        rest = [word for word in words if word != "--budgets"]
        return show_budgets(Hub(), as_json=wants_json(rest, "usage"))
    query, as_json = _query(words)
    found = Hub().ask("GET", f"/api/analytics/usage?{'&'.join(f'{k}={v}' for k, v in query.items())}")
    if as_json:
        return print_json(found)
    import os

    from aish.screen.tables import wrapped

    title = f"Usage by {found['group_by']}"
    period = f"{found['from']} to {found['to']} (UTC)"
    if not found["rows"]:
        return print_line(f"No usage, {period}")
    if not os.isatty(STDOUT):
        return print_line("\n".join([f"{title}, {period}", "", _table(found), "", *_table_notes(found)]))
    width = _terminal_width()
    heading = f"{title}{', ' if width >= _NARROW else chr(10)}{period}"
    notes = wrapped("\n".join(_chart_notes(found)), width)
    return print_line("\n".join([heading, "", _chart(found, width), "", notes]))


def _query(words: "list[str]") -> "tuple[dict[str, str], bool]":
    from datetime import UTC, date, datetime, timedelta

    today = datetime.now(UTC).date()
    query, as_json = {"group_by": "day"}, False
    left = list(words)
    while left:
        option, given, value = left.pop(0).partition("=")
        if option in JSON_WORDS and not given:
            as_json = True
        elif option in _OPTIONS:
            query[_OPTIONS[option]] = value if given else take_value(left, "usage")
        else:
            raise usage_error("usage")
    is_known = query["group_by"] in _GROUPS and all(_is_day(query.get(name)) for name in ("from", "to"))
    if not is_known:
        raise usage_error("usage")
    query.setdefault("to", max(today.isoformat(), query.get("from", "")))
    last = date.fromisoformat(query["to"])
    query.setdefault("from", (last - timedelta(days=min(_DAYS, last.toordinal()) - 1)).isoformat())
    return query, as_json


def _is_day(text: "str | None") -> bool:
    from datetime import date

    try:
        return text is None or date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _table(found: "Row") -> str:
    """Return all figures, for programs and files."""
    from aish.render import cleaned
    from aish.screen.tables import table

    heading = (found["group_by"].upper(), "TURNS", "SESSIONS", "INPUT", "OUTPUT", "COST", "UNPRICED")
    names = ("turns", "sessions", "input_tokens", "output_tokens", "cost", "unpriced_turns")
    rows = [(_name(found, row), row) for row in found["rows"]] + [("total", found["total"])]
    lines = (
        (cleaned(name), *("unknown" if row[n] is None else str(row[n]) for n in names)) for name, row in rows
    )
    return table([heading, *lines])


def _chart(found: "Row", width: int) -> str:
    """Return a line with a bar for each group, and one for the total. The bars compare the tokens."""
    is_narrow = width < _NARROW
    rows = [*found["rows"], found["total"]]
    names = ["", *(_one_line(_name(found, row)) for row in found["rows"]), "total"]
    figures = [_HEADING[: 2 if is_narrow else 3], *(_figures(row, is_narrow=is_narrow) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*figures, strict=True)]
    gap = " " if is_narrow else "  "
    left = width - 1 - sum(widths) - len(gap) * (len(widths) + 1)
    longest = max(_SHORTEST_NAME, min(max(map(len, names)), _LONGEST_NAME, left - _SHORTEST_BAR))
    bar = max(0, min(left - longest, _LONGEST_BAR))
    most = max(map(_tokens, found["rows"])) or 1
    bars = ["", *(_bar(_tokens(row) / most, bar) for row in found["rows"]), ""]
    return "\n".join(
        gap.join((_cut(name, longest).ljust(longest), drawn.ljust(bar), *map(str.rjust, each, widths)))
        for name, drawn, each in zip(names, bars, figures, strict=True)
    )


def _figures(row: "Row", *, is_narrow: bool) -> "tuple[str, ...]":
    figures = _number(_tokens(row), short=is_narrow), _cost(row)
    return figures if is_narrow else (*figures, f"{row['turns']:,}")


def _bar(share: float, width: int) -> str:
    """Return a bar. A share above 0 can always be seen."""
    eighths = max(round(share * width * 8), 1 if share else 0)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _table_notes(found: "Row") -> "list[str]":
    total = found["total"]
    unpriced, silent = total["unpriced_turns"], total["unreported_turns"]
    known = f"The price of {_turns(unpriced)} is unknown"
    told = f"{known}; {silent} of these reported no tokens" if silent else known
    return [*([told] if unpriced else ()), _price_list(found)]


def _chart_notes(found: "Row") -> "list[str]":
    silent = found["total"]["unreported_turns"]
    unpriced = _unpriced(found["total"])
    notes = [f"+ without {_turns(unpriced)} at unknown prices"] if unpriced else []
    if silent:
        notes.append(f"{_turns(silent)} reported no tokens")
    return [*notes, _price_list(found)]


def _price_list(found: "Row") -> str:
    prices = found["prices"]
    return f"Prices: {prices['source']} {prices['version']}, {prices['date'] or 'of unknown date'}"


def _unpriced(row: "Row") -> int:
    """Return how many turns reported tokens whose price is unknown."""
    return int(row["unpriced_turns"] - row["unreported_turns"])


def _turns(count: int) -> str:
    return f"{count:,} turn{'' if count == 1 else 's'}"


def _name(found: "Row", row: "Row") -> str:
    return str(row["key"] or _NAMES.get(found["group_by"], "(unknown)"))


def _one_line(text: str) -> str:
    from aish.render import one_line

    return one_line(text)


def _tokens(row: "Row") -> int:
    return int(row["input_tokens"] + row["output_tokens"])


def _number(value: int, *, short: bool) -> str:
    if not short or value < 10_000:
        return f"{value:,}"
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return str(value)


def _cost(row: "Row") -> str:
    """Return the cost with the digits that matter, and with a `+` if there is more whose price is unknown."""
    if row["cost"] is None:
        return "unknown" if _tokens(row) else "-"
    value = float(row["cost"])
    shown = f"${value:,.2f}" if value >= 0.1 or not value else f"${value:.2g}"
    return f"{shown}+" if _unpriced(row) else shown


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _terminal_width() -> int:
    from aish.terminal.tty import window_size

    return window_size(STDOUT)[1]


COMMANDS = {"usage": usage}
