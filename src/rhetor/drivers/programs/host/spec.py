"""What a host is told to run, and the identity that it records: values and their encoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import msgspec

from rhetor.codec import host_frames as frames

Mode = Literal["pty", "pipes"]


class ProgramSpec(msgspec.Struct, frozen=True):
    """A program to run. `env` is its whole environment. `on_exit`: whether it outlives the hub."""

    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    mode: Mode
    rows: int = 24
    cols: int = 80
    on_exit: Literal["survive", "reap"] = "survive"


class Limits(msgspec.Struct, frozen=True):
    """The limits of a host.

    `orphan_seconds`: how long a program runs without a hub before it is ended; `reap_after`: the same for a
    program that does not outlive its hub. `spool_limit`: unacknowledged bytes after which the program is
    paused. `keep_bytes`: acknowledged output that stays readable. `segment_bytes`: size of a spool file.
    """

    orphan_seconds: float = 86400.0
    reap_after: float = 10.0
    spool_limit: int = 256 << 20
    keep_bytes: int = 1 << 20
    segment_bytes: int = 16 << 20


class HostIdentity(msgspec.Struct, frozen=True):
    """Identifies a host beyond its pid, which may be reused. Times are clock ticks since boot."""

    host_id: str
    host_pid: int
    host_start: int
    program_pid: int
    program_start: int
    boot_id: str
    nonce: bytes
    mode: Mode
    socket: str


def request(
    spec: ProgramSpec,
    limits: Limits,
    folder: str,
    socket: str,
    nonce: bytes,
    secrets: Sequence[str] = (),
    *,
    seal_key: bytes | None = None,
    library: str = "",
) -> bytes:
    """Return the bytes that a host reads from stdin when it starts. `secrets` are masked in its spool, which
    `seal_key` seals; the folder `library` has the package for that."""
    fields = [("arg", _bytes(word)) for word in spec.argv]
    fields += [("env", _bytes(f"{name}={value}")) for name, value in spec.env.items()]
    fields += [("secret", _bytes(secret)) for secret in secrets]
    facts = {
        "cwd": spec.cwd,
        "mode": spec.mode,
        "rows": str(spec.rows),
        "cols": str(spec.cols),
        "alone": str(limits.reap_after if spec.on_exit == "reap" else limits.orphan_seconds),
        "spool_limit": str(limits.spool_limit),
        "keep_bytes": str(limits.keep_bytes),
        "segment_bytes": str(min(limits.segment_bytes, max(limits.spool_limit // 4, 4096))),
        "folder": folder,
        "socket": socket,
        "nonce": nonce.hex(),
    }
    if seal_key is not None:
        facts |= {"seal_key": seal_key.hex(), "library": library}
    return frames.pack_fields([*fields, *((name, _bytes(value)) for name, value in facts.items())])


def identity(host_id: str, data: bytes) -> HostIdentity:
    """Decode the `identity` file in a host's folder.

    Raises:
        ValueError: a field is missing or invalid.
    """
    facts = {name: value.decode() for name, value in frames.unpack_fields(data)}
    try:
        return HostIdentity(
            host_id=host_id,
            host_pid=int(facts["host_pid"]),
            host_start=int(facts["host_start"]),
            program_pid=int(facts["program_pid"]),
            program_start=int(facts["program_start"]),
            boot_id=facts["boot_id"],
            nonce=bytes.fromhex(facts["nonce"]),
            mode=cast(Mode, facts["mode"]),
            socket=facts["socket"],
        )
    except KeyError as error:
        raise ValueError(f"the identity has no {error}") from None


def _bytes(word: str) -> bytes:
    return word.encode(errors="surrogateescape")
