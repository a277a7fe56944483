"""The lines that show the progress of work: what is running, for how long, and how it ended. Plain text and
its style."""

from aish.render import one_line, revealed
from aish.screen.cells import fit, width
from rhetor.domain.tool_subject import subject_of as subject_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
FRAME_SECONDS = 0.1
_PLANS, _TEXTS = ("todos", "plan", "entries"), ("content", "step", "description", "text", "title")
_MARKS = {"completed": "☑", "done": "☑", "in_progress": "▸", "inProgress": "▸", "cancelled": "☒"}
_LEAST_COLUMNS = 8  # that the subject of a tool keeps before its outcome is cut


def spinner(now: float) -> str:
    return FRAMES[int(now / FRAME_SECONDS) % len(FRAMES)]


def seconds(taken: float) -> str:
    """Return a duration: `0.2 s`, `12 s`, `3 min 5 s`."""
    if taken < 9.95:
        return f"{taken:.1f} s"
    whole = round(taken)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60} s"


def whole_seconds(taken: float) -> str:
    """Return a duration that is still growing: `3 s`, `3 min 5 s`."""
    whole = int(taken)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60} s"


def tool_line(mark: str, name: str, subject: str, after: str, columns: int) -> str:
    """Return the line of a tool call: `● Bash  ls -la src   0.2 s`. If it is too long, the subject is cut."""
    begin, end = f"{mark} {name}", f"   {after}" if after else ""
    room = columns - width(begin) - width(end) - 2
    if not subject or room < min(_LEAST_COLUMNS, width(subject)):
        return fit(f"{begin}{end}", columns)
    return f"{begin}  {fit(subject, room)}{end}"


def name_of(tool: "Any") -> str:
    return one_line(revealed(str(tool or "tool")))


def subject_of(arguments: "Any") -> str:
    """Return what a tool call is about, on one line: its command, its file, or all its arguments."""
    return subject_in(arguments, _shown)


def plan_of(arguments: "Any") -> list[str]:
    """Return the entries of the plan that a tool call writes, each with a mark; empty for other calls."""
    for name in _PLANS if isinstance(arguments, dict) else ():
        entries = arguments.get(name)
        if isinstance(entries, list) and entries and all(map(_entry, entries)):
            return [_entry(entry) for entry in entries]
    return []


def failure_of(result: "Any") -> str:
    """Return the first line of a failed call's result."""
    text = result if isinstance(result, str) else _encoded(result)
    return _shown(next((line for line in text.splitlines() if line.strip()), ""))


def _entry(entry: "Any") -> str:
    if not isinstance(entry, dict) or "status" not in entry:
        return ""
    text = next((entry[name] for name in _TEXTS if isinstance(entry.get(name), str)), "")
    return f"{_MARKS.get(str(entry['status']), '☐')} {_shown(text)}" if text else ""


def _shown(value: "Any") -> str:
    text = value if isinstance(value, str) else "" if value is None else _encoded(value)
    return one_line(revealed(text.strip()))


def _encoded(value: "Any") -> str:
    from aish.client.json_sse import encode

    return encode(value).decode("utf-8", "replace")
