"""A host seals its program's output, survives its hub, and the next hub reads what a killed host has left."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rhetor.codec import host_frames as frames
from rhetor.drivers.programs.host.failures import HostLost, OutputUnreadable
from rhetor.drivers.programs.host.hosts import HostGone, Hosts
from rhetor.drivers.programs.host.link import HostLink
from rhetor.drivers.programs.host.spool_keys import SpoolKeys
from rhetor.drivers.programs.host.values import Chunk, Exited
from tests.sealing import ring_in

from .hosting import ended, hosting, linked, python, resident, said

pytestmark = pytest.mark.anyio

CANARY = "canary-of-a-host"
SAYS = f"import sys\nprint('{CANARY}' * 100, flush=True)\nsys.stdin.read()\nprint('{CANARY} end')"


def found_in(folder: Path) -> list[str]:
    """Return the files that contain the canary."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path.name for path in files if CANARY.encode() in path.read_bytes()]


async def output_of(source: HostLink | HostGone, offset: int = 0) -> bytes:
    found = b""
    try:
        async for item in source.read(offset):
            if isinstance(item, Chunk):
                found += item.data
                assert item.offset_after == offset + len(found)
    except OutputUnreadable:
        raise
    except HostLost:
        pass
    return found


@pytest.mark.parametrize("mode", ["pipes", "pty"])
async def test_the_output_is_in_no_file_and_the_next_hub_reads_it_after_kill_9(
    tmp_path: Path, mode: str
) -> None:
    keys = SpoolKeys(ring_in(tmp_path))
    async with hosting(tmp_path, keys=keys) as hosts:
        link = await hosts.start("a", python(SAYS, mode=mode))
        live = await said(link, CANARY.encode() * 100)
        processes = [Path(f"/proc/{pid}") for pid in (link.identity.host_pid, link.identity.program_pid)]
        key = keys.read(tmp_path / "hosts" / "a")
        assert key is not None
        visible = b"".join(
            (proc / name).read_bytes() for proc in processes for name in ("environ", "cmdline")
        )
        assert key not in visible and key.hex().encode() not in visible
        assert resident(link.identity.host_pid) < 24 << 20
        os.kill(link.identity.host_pid, signal.SIGKILL)
        await ended(link.identity.host_pid, link.identity.host_start)
        assert found_in(tmp_path / "hosts") == []
        later = Hosts(
            tmp_path / "hosts", tmp_path / "sockets", keys=SpoolKeys(ring_in(tmp_path), active=False)
        )
        gone = await later.find("a")
        assert isinstance(gone, HostGone) and gone.lost
        left = await output_of(gone)
        assert left.startswith(live) and CANARY.encode() * 100 in left
        assert await output_of(gone, 7) == left[7:]


async def test_a_record_that_was_cut_by_the_kill_loses_nothing_before_it(tmp_path: Path) -> None:
    keys = SpoolKeys(ring_in(tmp_path))
    async with hosting(tmp_path, keys=keys) as hosts:
        link = await hosts.start("a", python(SAYS))
        await said(link, CANARY.encode() * 100)
        os.kill(link.identity.host_pid, signal.SIGKILL)
        await ended(link.identity.host_pid, link.identity.host_start)
        (file,) = (tmp_path / "hosts" / "a").glob("sealed.*")
        whole, before = file.read_bytes(), await output_of(await hosts.find("a"))
        file.write_bytes(whole + whole[:60])
        assert await output_of(await hosts.find("a")) == before
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(OutputUnreadable, match="cannot be opened"):
            await output_of(await hosts.find("a"))
        file.write_bytes(whole)
        (tmp_path / "hosts" / "a" / "key").unlink()
        with pytest.raises(OutputUnreadable, match=r"key is missing"):
            await output_of(await hosts.find("a"))


async def test_a_record_that_a_killed_host_was_masking_is_read_masked(tmp_path: Path) -> None:
    keys = SpoolKeys(ring_in(tmp_path))
    async with hosting(tmp_path, keys=keys) as hosts:
        link = await hosts.start("a", python(SAYS))
        await said(link, CANARY.encode() * 100)
        os.kill(link.identity.host_pid, signal.SIGKILL)
        await ended(link.identity.host_pid, link.identity.host_start)
        (file,) = (tmp_path / "hosts" / "a").glob("sealed.*")
        record = file.read_bytes()
        with torn(file, record):
            assert (await output_of(await hosts.find("a"))).startswith(CANARY.encode() * 100)


@contextmanager
def torn(file: Path, record: bytes) -> Iterator[None]:
    """Leave the file as a host does that is killed while it replaces the record."""
    (file.parent / "replaced").write_bytes(frames.pack_replaced(0, 0, record))
    file.write_bytes(record[:40] + bytes(20) + record[60:])
    yield


async def test_a_host_that_was_started_before_sealing_was_switched_on_seals_its_output(
    tmp_path: Path,
) -> None:
    keys = SpoolKeys(ring_in(tmp_path))
    async with hosting(tmp_path) as hosts, hosting(tmp_path, keys=keys) as later:
        link = await hosts.start("b", python(SAYS))
        before = await said(link, CANARY.encode() * 100)
        assert found_in(tmp_path / "hosts" / "b")
        await link.aclose()
        for _ in range(2):  # every hub asks for it
            link = await linked(later, "b")
        while found_in(tmp_path / "hosts" / "b"):
            await link.status()
        await link.close_stdin()
        end = await link.wait()
        assert isinstance(end, Exited)
        assert (await output_of(link)).startswith(before)
        assert found_in(tmp_path / "hosts" / "b") == []
        os.kill(link.identity.host_pid, signal.SIGKILL)
        await ended(link.identity.host_pid, link.identity.host_start)
        assert (await output_of(await later.find("b"))).endswith(f"{CANARY} end\n".encode())


async def test_a_host_that_cannot_seal_its_output_keeps_its_program_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keys = SpoolKeys(ring_in(tmp_path))
    async with hosting(tmp_path) as hosts, hosting(tmp_path, keys=keys) as later:
        await hosts.start("a", python(SAYS))
        monkeypatch.setattr(frames, "SEAL", 99)  # an earlier version of the host does not know the request
        link = await linked(later, "a")
        await said(link, CANARY.encode() * 100)
        assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
            ("WARNING", "a program's output stays unsealed")
        ]
        os.kill(link.identity.host_pid, signal.SIGKILL)
        await ended(link.identity.host_pid, link.identity.host_start)
        assert CANARY.encode() in await output_of(await later.find("a"))


async def test_a_rotation_renews_the_keys_of_hosts(tmp_path: Path) -> None:
    ring = ring_in(tmp_path)
    async with hosting(tmp_path, keys=SpoolKeys(ring)) as hosts:
        link = await hosts.start("a", python(SAYS))
        file = tmp_path / "hosts" / "a" / "key"
        old = file.read_bytes()
        ring.rotate()
        hosts.renew_keys()
        assert file.read_bytes()[1:5] != old[1:5]
        await said(link, CANARY.encode() * 100)
        os.kill(link.identity.host_pid, signal.SIGKILL)
        await ended(link.identity.host_pid, link.identity.host_start)
        assert CANARY.encode() in await output_of(await hosts.find("a"))
