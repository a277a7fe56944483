"""What a hub asks a host to run, and how a host says who it is: values, and their bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

import msgspec

from rhetor.codec import host_frames as frames

Mode = Literal["pty", "pipes"]


class ProgramSpec(msgspec.Struct, frozen=True):
    """`env` is all that the program sees. `on_exit`: whether it outlives the hub that started it."""

    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    mode: Mode
    rows: int = 24
    cols: int = 80
    on_exit: Literal["survive", "reap"] = "survive"


class Limits(msgspec.Struct, frozen=True):
    """`orphan_seconds` without a hub until a program is ended, `reap_after` the same where it does not
    outlive its hub; `spool_limit` bytes that nobody has acknowledged until it waits; `keep_bytes` that stay
    readable after they were acknowledged; `segment_bytes` of a file of the spool."""

    orphan_seconds: float = 86400.0
    reap_after: float = 10.0
    spool_limit: int = 256 << 20
    keep_bytes: int = 1 << 20
    segment_bytes: int = 16 << 20


class HostIdentity(msgspec.Struct, frozen=True):
    """Who a host is: a pid alone is taken by another process some day. Times are clock ticks since boot."""

    host_id: str
    host_pid: int
    host_start: int
    program_pid: int
    program_start: int
    boot_id: str
    nonce: bytes
    mode: Mode
    socket: str


def request(spec: ProgramSpec, limits: Limits, folder: str, socket: str, nonce: bytes) -> bytes:
    """What a host reads on its stdin when it starts."""
    fields = [("arg", _bytes(word)) for word in spec.argv]
    fields += [("env", _bytes(f"{name}={value}")) for name, value in spec.env.items()]
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
    return frames.pack_fields([*fields, *((name, _bytes(value)) for name, value in facts.items())])


def identity(host_id: str, data: bytes) -> HostIdentity:
    """What a host wrote into its folder's `identity`.

    Raises:
        ValueError: it is none.
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
        raise ValueError(f"an identity without {error}") from None


def _bytes(word: str) -> bytes:
    return word.encode(errors="surrogateescape")
