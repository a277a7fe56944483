"""What a host reports about its program: pieces of output, its status, its end."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, cast, get_args

import msgspec

from rhetor.codec import host_frames as frames

Reader: TypeAlias = Literal["waits", "polls", "shares", "no"]
"""What a program does about input. It waits for nothing else; a time limit or another thread of its own may
come first; it waits for connections or other programs too; it takes no input, or has not read all of it."""


class Chunk(msgspec.Struct, frozen=True):
    """A piece of output. `offset_after`: the offset of the byte that follows it, where reading continues.
    `at_ms`: when the host read it, Unix time in milliseconds."""

    offset_after: int
    at_ms: int
    data: bytes


class Lost(msgspec.Struct, frozen=True):
    """A gap in stderr: `count` bytes before `offset_after` were dropped before they were read."""

    offset_after: int
    count: int


class Exited(msgspec.Struct, frozen=True):
    """The end of the program: an exit code from 0 to 255, or a signal. `head`: where its output ends."""

    code: int | None
    signal: int | None
    at_ms: int
    head: int = 0


class HostStatus(msgspec.Struct, frozen=True):
    """The state of a host.

    The output from `earliest` to `head` can be read; before `acknowledged` it may be deleted. `waiting`: the
    spool is full, so the program is paused. `echo` and `canonical` are modes of the terminal (False on
    pipes). `reader`: what the foreground processes do about input; None if that is not known.
    """

    host_pid: int
    host_start: int
    program_pid: int
    program_start: int
    boot_id: str
    mode: Literal["pty", "pipes"]
    exited: Exited | None
    rows: int
    cols: int
    earliest: int
    head: int
    acknowledged: int
    waiting: bool
    stderr_total: int
    stderr_lost: int
    echo: bool
    canonical: bool
    foreground_pid: int | None
    foreground_name: str
    reader: Reader | None


def exited(body: bytes) -> Exited:
    return Exited(*frames.unpack_exited(body))


def status(body: bytes) -> HostStatus:
    """Decode a status answer.

    Raises:
        ValueError: a field is missing or invalid.
    """
    facts = dict(frames.unpack_fields(body))
    try:
        numbers: dict[str, Any] = {name: int(facts[name]) for name in _NUMBERS}
        flags: dict[str, Any] = {name: facts[name] == b"1" for name in ("waiting", "echo", "canonical")}
        reader = facts.get("reader", b"").decode()  # hosts of earlier versions do not report it
        mode: Literal["pty", "pipes"] = "pty" if facts["mode"] == b"pty" else "pipes"
        return HostStatus(
            **numbers,
            **flags,
            boot_id=facts["boot_id"].decode(),
            mode=mode,
            exited=exited(facts["exited"]) if facts["exited"] else None,
            foreground_pid=int(facts["foreground_pid"]) or None,
            foreground_name=facts["foreground_name"].decode(errors="replace"),
            reader=cast(Reader, reader) if reader in get_args(Reader) else None,
        )
    except KeyError as error:
        raise ValueError(f"the status has no {error}") from None


_NUMBERS = (
    "host_pid",
    "host_start",
    "program_pid",
    "program_start",
    "rows",
    "cols",
    "earliest",
    "head",
    "acknowledged",
    "stderr_total",
    "stderr_lost",
)
