"""Terminals without a name that have a purpose.

The hub calls such a terminal `tty:` and the id of its session, the group of processes that share it. A file
with the id notes that the terminal has a purpose, and when the session began, because ids are used again.
"""

# ruff: noqa: PTH103, PTH108, PTH208, PTH118
import os

from aish.client.home import state_home

_PREFIX = "tty:"


def name() -> str:
    """Return how the hub calls this terminal."""
    return _called(os.getsid(0))


def own_name() -> "str | None":
    """Do the same if this terminal has a purpose; otherwise, return None."""
    return name() if _is_noted(str(os.getsid(0))) else None


def note() -> None:
    """Note that this terminal has a purpose."""
    os.makedirs(_folder(), mode=0o700, exist_ok=True)
    id = os.getsid(0)
    with open(os.path.join(_folder(), str(id)), "w", encoding="ascii") as file:
        file.write(_begin(id))


def forget(name: str) -> None:
    """Note that the terminal no longer has a purpose."""
    try:
        os.unlink(os.path.join(_folder(), name.removeprefix(_PREFIX)))
    except FileNotFoundError:
        pass


def closed() -> "list[str]":
    """Return how the hub calls the terminals that had a purpose and were closed."""
    try:
        ids = os.listdir(_folder())
    except FileNotFoundError:
        return []
    return [_called(id) for id in ids if not _is_noted(id)]


def _called(id: "int | str") -> str:
    return f"{_PREFIX}{id}"


def _folder() -> str:
    return os.path.join(state_home(), "terminals")


def _is_noted(id: str) -> bool:
    try:
        with open(os.path.join(_folder(), id), encoding="ascii") as file:
            return file.read() == _begin(int(id))
    except (OSError, ValueError):
        return False


def _begin(id: int) -> str:
    """Return when the first process of the session began, in a form that is only compared. Empty if that
    process has ended, or the session belongs to another container."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        with open(f"/proc/{id}/stat", "rb") as file:
            ticks = file.read().rpartition(b")")[2].split()[19]  # the name before it may contain anything
        return f"{boot} {ticks.decode()}"
    except FileNotFoundError:
        return ""
