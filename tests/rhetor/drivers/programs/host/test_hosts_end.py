"""How programs end: by themselves, on request, with their host, or after their hub has left."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable
from pathlib import Path

import pytest
from msgspec.structs import replace

from rhetor.drivers.programs.host.failures import HostLost, HostRefused
from rhetor.drivers.programs.host.folder import HostFolder, start_time
from rhetor.drivers.programs.host.hosts import HostGone, Hosts
from rhetor.drivers.programs.host.link import HostLink
from rhetor.drivers.programs.host.reach import LocalReach
from tests.scale import FULL

from .hosting import SECONDS, alive, ended, hosting, linked, output, program, python, said

pytestmark = pytest.mark.anyio

# a child in the group and a grandchild in its own session; all ignore SIGTERM and SIGHUP
FAMILY = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
for depth in range(3):
    print(os.getpid(), flush=True)
    if depth < 2 and os.fork():
        break
    if depth == 1: os.setsid()
if len(sys.argv) > 1 and depth == 0:
    input()
    sys.exit(4)
signal.pause()
"""
IN_MID_LINE = """
import os, signal, sys
os.write(1, b"x" * int(sys.argv[1]))
os.kill(os.getpid(), signal.SIGKILL) if sys.argv[2] == "kill" else os._exit(5)
"""


STARTS_A_HOST = """
import asyncio, pathlib
from tests.rhetor.drivers.programs.host.hosting import Hosts, program
async def main():
    folder = pathlib.Path(%r)
    await Hosts(folder / "hosts", folder / "sockets").start("b", program("cat"))
    print("started", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def family(link: HostLink) -> list[int]:
    lines = await said(link, b"\n", b"\n", b"\n")
    return [int(word) for word in lines.split()]


@pytest.mark.parametrize("mode", ["pipes", "pty"])
async def test_ending_a_program_kills_descendants_that_ignore_sigterm(tmp_path: Path, mode: str) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", python(FAMILY, mode=mode))
        pids = await family(link)
        assert [alive(pid) for pid in pids] == [True] * 3
        end = await link.end(0.1)
        assert (end.code, end.signal) == (None, signal.SIGKILL)
        assert [alive(pid) for pid in pids] == [False] * 3


async def test_a_program_that_handles_sigterm_has_time_to_exit(tmp_path: Path) -> None:
    code = "import signal, sys; signal.signal(15, lambda *_: sys.exit(6)); print('up', flush=True)"
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", python(f"{code}; signal.pause()"))
        await said(link, b"up")
        assert (await link.end()).code == 6


async def test_a_stopped_program_can_be_ended(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", program("cat"))
        await link.signal(signal.SIGSTOP)
        assert (await link.end()).signal == signal.SIGTERM


async def test_processes_that_a_program_leaves_behind_end_after_it(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", program("sh", "-c", "setsid sleep 60 & echo $!; exit 4"))
        left = int(await said(link, b"\n"))
        start = start_time(left)
        assert (await link.wait()).code == 4
        if start is not None:
            await ended(left, start)
        assert not alive(left)


async def test_processes_left_behind_end_at_once_with_a_grace_period_of_zero(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", python(FAMILY, "leave"))
        pids = await family(link)
        await link.write(b"\n", "text")
        assert (await link.wait()).code == 4
        assert (await link.end(0.0)).code == 4
        assert [alive(pid) for pid in pids] == [False] * 3


@pytest.mark.parametrize("how", ["kill", "exit"])
@pytest.mark.parametrize("mode", ["pipes", "pty"])
async def test_the_last_bytes_of_an_unfinished_line_come_before_the_exit(
    tmp_path: Path, mode: str, how: str
) -> None:
    async with hosting(tmp_path) as hosts:
        for number in range(25 if FULL else 3):
            size = 3000 * number + 7
            link = await hosts.start("a", python(IN_MID_LINE, str(size), how, mode=mode))
            data, end = await output(link)
            assert (data, end.head) == (b"x" * size, size)
            assert (end.code, end.signal) == ((None, 9) if how == "kill" else (5, None))
            await link.end()
            hosts.forget("a")
            await ended(link.identity.host_pid, link.identity.host_start)


async def test_an_exit_is_reported_within_a_second(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", program("cat"))
        waiting = asyncio.ensure_future(link.wait())
        await link.status()
        os.kill(link.identity.program_pid, signal.SIGKILL)
        killed = time.time()
        end = await waiting
        assert end.signal == signal.SIGKILL
        assert end.at_ms - killed * 1000 < 1000


@pytest.mark.parametrize("mode", ["pipes", "pty"])
async def test_a_killed_host_ends_its_program_and_every_call_raises_host_lost(
    tmp_path: Path, mode: str
) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", python(FAMILY, mode=mode))
        await family(link)
        waiting = asyncio.ensure_future(link.wait())
        await link.status()
        os.kill(link.identity.host_pid, signal.SIGKILL)
        await ended(link.identity.program_pid, link.identity.program_start)
        calls: list[Awaitable[object]] = [waiting, link.status(), link.write(b"x", "text")]
        calls += [link.end(), link.acknowledge(0)]
        calls += [link.resize(1, 1), link.signal(1), link.close_stdin(), output(link)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [HostLost] * len(calls)
        found = await hosts.find("a")
        assert isinstance(found, HostGone)
        assert found.lost
        with pytest.raises(HostLost):
            assert [item async for item in found.read(0)] == []


@pytest.mark.parametrize("mode", ["pipes", "pty"])
async def test_the_descendants_of_a_killed_host_end_in_every_session(tmp_path: Path, mode: str) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", python(FAMILY, mode=mode))
        started = [(pid, start_time(pid) or 0) for pid in await family(link)]
        os.kill(link.identity.host_pid, signal.SIGKILL)
        await asyncio.gather(*(ended(pid, start) for pid, start in started))


async def test_a_host_started_by_a_program_survives_the_end_of_the_program(tmp_path: Path) -> None:
    inside = f"import sys; sys.path[:0] = {sys.path!r}\n" + STARTS_A_HOST % str(tmp_path / "inner")
    async with hosting(tmp_path) as hosts, hosting(tmp_path / "inner") as others:
        link = await hosts.start("a", python(inside))
        await said(link, b"started")
        inner = await linked(others, "b")
        await link.acknowledge((await link.end(0.0)).head)
        await ended(link.identity.host_pid, link.identity.host_start)
        await inner.write(b"still here\n", "text")
        assert await said(inner, b"still here")


async def test_a_terminated_host_ends_its_program_and_reports_the_signal(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", program("cat"))
        os.kill(link.identity.host_pid, signal.SIGTERM)
        assert (await link.wait()).signal == signal.SIGTERM
        await ended(link.identity.host_pid, link.identity.host_start)
        found = await hosts.find("a")
        assert isinstance(found, HostGone)
        assert not found.lost


async def left_alone(hosts: Hosts, on_exit: str) -> None:
    link = await hosts.start("a", program("cat", on_exit=on_exit))
    await link.aclose()
    await ended(link.identity.host_pid, link.identity.host_start)
    found = await hosts.find("a")
    assert isinstance(found, HostGone)
    assert found.exited is not None
    assert found.exited.signal == signal.SIGTERM


async def test_a_program_with_on_exit_reap_ends_soon_after_its_hub(tmp_path: Path) -> None:
    async with hosting(tmp_path, reap_after=0.05) as hosts:
        await left_alone(hosts, "reap")


async def test_an_orphaned_program_ends_after_orphan_seconds(tmp_path: Path) -> None:
    async with hosting(tmp_path, orphan_seconds=0.05) as hosts:
        await left_alone(hosts, "survive")


async def test_a_host_whose_folder_was_removed_ends_its_program(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", program("cat"))
        shutil.rmtree(tmp_path / "hosts")
        await link.aclose()
        await ended(link.identity.host_pid, link.identity.host_start)
        assert not alive(link.identity.program_pid)


async def test_a_program_survives_if_another_link_is_open(tmp_path: Path) -> None:
    async with hosting(tmp_path, reap_after=0.5) as hosts:
        first = await hosts.start("a", program("cat", on_exit="reap"))
        second = await linked(hosts, "a")
        await first.aclose()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await second.wait()


async def test_a_cancelled_start_leaves_no_program(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    code = f"import os, signal; open({str(marker)!r}, 'w').write(str(os.getpid())); signal.pause()"
    async with hosting(tmp_path) as hosts:
        for number in range(10):
            starting = asyncio.ensure_future(hosts.start("a", python(code)))
            await asyncio.wait([starting], timeout=number * 0.006)
            if starting.cancel():
                await asyncio.wait([starting])
            elif not starting.exception():
                await starting.result().end()
                hosts.forget("a")
            assert list(hosts.known()) == []
    if (pid := _pid(marker)) and alive(pid):
        await ended(pid, start_time(pid) or 0)
        assert not alive(pid)


def _pid(marker: Path) -> int:
    return int(marker.read_text() or 0) if marker.exists() else 0


async def test_a_wrong_nonce_a_recycled_pid_and_a_foreign_socket_are_rejected(
    tmp_path: Path,
) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", program("cat"))
        other = await hosts.start("b", program("cat"))
        folder = HostFolder(tmp_path / "hosts" / "a")
        ours, path = link.identity, tmp_path / "hosts" / "a" / "identity"
        true = path.read_bytes()
        path.write_bytes(true.replace(ours.nonce.hex().encode(), b"0" * 32))
        with pytest.raises(HostRefused):
            await hosts.find("a")
        with pytest.raises(HostRefused):
            await HostLink.open(LocalReach(replace(ours, nonce=bytes(16)), folder))
        # the pids belong to processes with other start times
        recycled = true
        for start in (ours.host_start, ours.program_start):
            recycled = recycled.replace(b"%d" % start, b"1" * len(str(start)))
        path.write_bytes(recycled)
        assert isinstance(await hosts.find("a"), HostGone)
        for change in ({"host_start": 1}, {"socket": other.identity.socket}):
            with pytest.raises(ConnectionError):
                await HostLink.open(LocalReach(replace(ours, **change), folder))
        # the machine was rebooted
        path.write_bytes(true.replace(ours.boot_id.encode(), b"0" * len(ours.boot_id)))
        assert isinstance(await hosts.find("a"), HostGone)
        path.write_bytes(true)
        assert alive(ours.program_pid)
        async with asyncio.timeout(SECONDS):
            await linked(hosts, "a")
