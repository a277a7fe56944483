"""What a program gets from its host, and what the hub sees of the program."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from pathlib import Path

import pytest

from rhetor.drivers.programs.host.connection import HostConnection
from rhetor.drivers.programs.host.failures import (
    HostIdTaken,
    HostRefused,
    ProgramAlive,
    ProgramOver,
    StdinClosed,
)
from rhetor.drivers.programs.host.hosts import HostGone
from rhetor.drivers.programs.host.values import Exited
from rhetor.errors import ProgramMissing, ProgramRefused
from tests.scale import FULL

from .hosting import (
    SECONDS,
    children_of,
    descriptors,
    dismiss,
    ended,
    hosting,
    output,
    program,
    python,
    resident,
    said,
    there,
)

pytestmark = pytest.mark.anyio

# Python ignores SIGPIPE and SIGXFSZ itself; 32 and 33 belong to glibc, and make ignores them in its children
LOOK = """
import os
OWN = 1 << 12 | 1 << 24 | 1 << 31 | 1 << 32
fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:-1]
print(os.getcwd(), sorted(os.environ.items()), fds, os.getsid(0) == os.getpid(), os.umask(0), flush=True)
for line in open("/proc/self/status"):
    if line.startswith(("SigIgn", "SigBlk")): print(int(line.split()[1], 16) & ~OWN)
"""


@pytest.mark.parametrize("mode", ["pipes", "pty"])
async def test_a_program_sees_only_its_own_environment(tmp_path: Path, mode: str) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start(
            "a", python(LOOK, mode=mode, cwd=str(tmp_path), env={"LC_ALL": "C", "ONLY": "a=b"})
        )
        seen = (await output(link))[0].decode().replace("\r\n", "\n")
        assert seen == f"{tmp_path} [('LC_ALL', 'C'), ('ONLY', 'a=b')] [0, 1, 2] True 18\n0\n0\n"


async def test_each_reader_gets_the_output_from_its_offset_and_the_exit(tmp_path: Path) -> None:
    code = "import sys; print('one'); print('two'); print('no', file=sys.stderr); sys.exit(3)"
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", python(code))
        whole, partly, end = await asyncio.gather(output(link), output(link, 0), link.wait())
        assert (whole, partly) == ((b"one\ntwo\n", end), (b"one\ntwo\n", end))
        assert (end.code, end.signal, end.head) == (3, None, 8)
        assert await output(link, 5) == (b"wo\n", end)
        complaints = [item async for item in link.read_stderr(0)]
        assert b"".join(getattr(item, "data", b"") for item in complaints) == b"no\n"
        with pytest.raises(HostRefused):
            await output(link, 9)


async def test_a_waiting_reader_gets_new_output(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", program("cat"))
        reading = link.read(0)
        for word in (b"first\n", b"second\n"):
            await link.write(word, "text")
            async with asyncio.timeout(SECONDS):
                item = await anext(reading)
            assert not isinstance(item, Exited)
            assert item.data == word
        await reading.aclose()
        await link.close_stdin()
        assert (await link.wait()).code == 0


async def test_a_failed_start_raises_the_reason_and_leaves_no_folder(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    async with hosting(tmp_path) as hosts:
        for spec in (program("no-such-program"), program(str(tmp_path / "none")), program("x", env={})):
            with pytest.raises(ProgramMissing):
                await hosts.start("a", spec)
        with pytest.raises(ProgramRefused) as refused:
            await hosts.start("a", program(str(plain)))
        assert (refused.value.data["errno"], refused.value.data["executable"]) == ("EACCES", str(plain))
        with pytest.raises(ProgramRefused, match="cwd: No such file"):
            await hosts.start("a", program("cat", cwd=str(tmp_path / "none")))
        with pytest.raises(ProgramRefused):
            await hosts.start("a", program("cat", "nul\0"))
        assert list(hosts.known()) == []


async def test_a_program_in_the_working_folder_is_not_found_through_the_path(tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("#!/bin/sh\n")
    (tmp_path / "shadow").chmod(0o700)
    async with hosting(tmp_path) as hosts:
        with pytest.raises(ProgramMissing):
            await hosts.start("a", program("shadow", cwd=str(tmp_path), env={"PATH": ":.:/bin"}))


async def test_a_host_is_small_isolated_and_private(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", program("cat", env={"PATH": os.environ["PATH"], "KEY": "canary"}))
        proc = Path(f"/proc/{link.identity.host_pid}")
        assert resident(link.identity.host_pid) < 12 << 20
        parent = (proc / "stat").read_text().rsplit(") ")[1].split()[1]
        assert int(parent) != os.getpid()
        assert os.getsid(link.identity.host_pid) == link.identity.host_pid != os.getsid(0)
        for name in ("cmdline", "environ"):
            assert b"canary" not in (proc / name).read_bytes()
        folder = tmp_path / "hosts"
        assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE((folder / "a").stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in (folder / "a").iterdir()} == {0o600}
        assert not any(b"canary" in path.read_bytes() for path in (folder / "a").iterdir() if path.is_file())


async def test_the_socket_is_in_another_folder_if_its_path_would_be_too_long(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    async with hosting(deep) as hosts:
        hosts._sockets = Path("/tmp") / f"rhetor-test-{os.getpid()}"
        link = await hosts.start("a", program("cat"))
        assert link.identity.socket == str(hosts._sockets / "a.host")
        assert stat.S_IMODE(hosts._sockets.stat().st_mode) == 0o700
        await dismiss(hosts, "a")
        hosts._sockets.rmdir()


async def test_host_ids_are_validated_unique_and_can_be_forgotten(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        assert list(hosts.known()) == []
        for bad in ("", "..", "a/b", "-a", "a" * 65):
            with pytest.raises(HostRefused):
                await hosts.start(bad, program("cat"))
        link = await hosts.start("a", program("cat"))
        with pytest.raises(HostIdTaken):
            await hosts.start("a", program("cat"))
        with pytest.raises(ProgramAlive):
            hosts.forget("a")
        await link.end()
        assert list(hosts.known()) == ["a"]
        hosts.forget("a")
        await ended(link.identity.host_pid, link.identity.host_start)
        assert list(hosts.known()) == []
        assert isinstance(await hosts.find("a"), HostGone)


async def test_a_host_exits_once_the_end_is_acknowledged_and_leaves_its_spool(tmp_path: Path) -> None:
    async with hosting(tmp_path, keep_bytes=4) as hosts:
        link = await hosts.start("a", python("print('all of it')"))
        end = await link.wait()
        with pytest.raises(ProgramOver):
            await link.write(b"late", "text")
        assert (await link.status()).exited == end
        await link.acknowledge(end.head)
        await ended(link.identity.host_pid, link.identity.host_start)
        assert not there(link.identity.socket)
        gone = await hosts.find("a")
        assert isinstance(gone, HostGone)
        assert (gone.exited, gone.lost) == (end, False)
        left = [item async for item in gone.read(4)]
        assert [getattr(item, "data", item) for item in left] == [b"of it\n", end]
        # the link still gives the same answers
        assert await output(link, 4) == (b"of it\n", end)
        assert (await link.wait(), await link.end()) == (end, end)
        await link.acknowledge(end.head)
        with pytest.raises(ProgramOver) as over:
            await link.status()
        assert over.value.data["exit_code"] == 0


READ_ALL = "import signal, sys; sys.stdin.read(); print('eof', flush=True); signal.pause()"


async def test_writing_to_a_closed_input_raises_stdin_closed(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start(
            "a",
            python(READ_ALL),
        )
        await link.close_stdin()
        await said(link, b"eof")
        with pytest.raises(StdinClosed):
            await link.write(b"more", "text")
        await link.signal(signal.SIGUSR1)
        assert (await link.wait()).signal == signal.SIGUSR1


@pytest.mark.long
async def test_no_zombie_and_no_descriptor_remains(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        before = 0
        for number in range(1000 if FULL else 30):
            mode = "pty" if number % 2 else "pipes"
            link = await hosts.start("a", program("sh", "-c", "echo hi; sleep 60 & exit 7", mode=mode))
            assert (await output(link))[1].code == 7
            end = await link.end()
            await link.acknowledge(end.head)
            await ended(link.identity.host_pid, link.identity.host_start)
            await link.aclose()
            hosts.forget("a")
            before = before or descriptors(os.getpid())
        assert descriptors(os.getpid()) <= before + 2
        assert "Z" not in children_of(os.getpid())


async def test_a_connection_whose_closing_was_cancelled_can_be_closed_again(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", program("cat"))
        connection = await HostConnection.open(link.identity)
        closing = asyncio.create_task(connection.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait((closing,))
        assert closing.cancelled()
        await connection.aclose()
