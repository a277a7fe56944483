"""Text arrives byte for byte, through pipes and through terminals in any mode; keys are acted on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from rhetor.drivers.programs.host.failures import HostRefused
from rhetor.drivers.programs.host.link import HostLink
from tests.scale import FULL

from .hosting import PYTHON, SECONDS, difference, hosting, linked, output, program, python, said

pytestmark = pytest.mark.anyio

MESSAGE_BYTES = 20_000
# stores its input in a file, because a terminal changes printed text; reports when all bytes are there
KEEP = """
import os, sys, tty
count, path, size, mode = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
if mode == "raw": tty.setraw(0)
print("ready", flush=True)
with open(path, "wb") as kept:
    while count > 0:
        data = os.read(0, size)
        if not data: sys.exit("an end of file")
        count -= len(data); kept.write(data)
print("kept", flush=True)
if mode == "raw": os.system("stty sane")
"""

HELD = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [12])
print("up", flush=True)
signal.sigwait([12])
os.execvp("cat", ["cat"])
"""
ECHO = """
import sys
print("up", flush=True)
while True:
    try: print(ascii(sys.stdin.readline()), flush=True)
    except KeyboardInterrupt: print("interrupted", flush=True)
"""


def messages() -> Iterator[bytes]:
    """Yield messages of up to 20 KB with every code point that UTF-8 allows; only a few unless FULL."""
    points = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    text = "".join(map(chr, points)).encode()
    every = []
    while text:
        at = min(MESSAGE_BYTES, len(text))
        while at < len(text) and text[at] & 0xC0 == 0x80:
            at -= 1
        every.append(text[:at])
        text = text[at:]
    yield from every if FULL else [every[0], every[3], random.Random(1).choice(every), every[-1]]


@pytest.mark.long
@pytest.mark.parametrize("mode", ["canonical", "raw", "pipes"])
async def test_every_code_point_arrives_unchanged(tmp_path: Path, mode: str) -> None:
    wanted = list(messages())
    if mode == "canonical":
        wanted.append(b"\n")
    whole = b"".join(wanted)
    spec = python(
        KEEP,
        str(len(whole)),
        str(tmp_path / "kept"),
        "65536",
        mode,
        mode="pipes" if mode == "pipes" else "pty",
    )
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", spec)
        await said(link, b"ready")
        for message in wanted:
            await link.write(message, "text")
        await said(link, b"kept")
        assert difference((tmp_path / "kept").read_bytes(), whole) is None


@pytest.mark.parametrize("size", [1, 7, 512, 4096])
@pytest.mark.parametrize(
    "text",
    [
        b"y" * 9000 + b"\n",
        b"\n" * 6000,
        bytes(byte for byte in range(256) if byte != 10) * 20 + b"\n",
        b"\x16\x03\x04\x1a\x11\x13\x7f\x15\x17\x12\r\0" * 500 + b"\n",
        b"\n".join(b"z" * length for length in (511, 512, 2047, 2048, 2049, 3900, 4095, 4096, 5000)) + b"\n",
    ],
    ids=["one long line", "empty lines", "every byte", "control characters", "lines of all lengths"],
)
async def test_a_terminal_in_canonical_mode_does_not_change_the_text(
    tmp_path: Path, text: bytes, size: int
) -> None:
    async with hosting(tmp_path) as hosts:
        spec = python(KEEP, str(len(text)), str(tmp_path / "kept"), str(size), "canonical", mode="pty")
        link = await hosts.start("a", spec)
        await said(link, b"ready")
        await link.write(text, "text")
        await said(link, b"kept")
        assert difference((tmp_path / "kept").read_bytes(), text) is None


# the kernel acts on a stop key in input that does not fit yet, even if the key is quoted
@pytest.mark.parametrize("text", [b"w" * 15_000 + b"\n", b"stop \x13 it\n" * 2000], ids=["line", "stops"])
async def test_text_waits_until_the_program_reads(tmp_path: Path, text: bytes) -> None:
    start = HELD.partition("os.exec")[0] + KEEP
    async with hosting(tmp_path) as hosts:
        arguments = (str(len(text)), str(tmp_path / "kept"), "4096", "canonical")
        link = await hosts.start("a", python(start, *arguments, mode="pty"))
        await said(link, b"up")
        writing = asyncio.ensure_future(link.write(text, "text"))
        await asyncio.wait([writing], timeout=0.2)
        assert not writing.done()
        await link.signal(12)
        await writing
        await said(link, b"kept")
        assert difference((tmp_path / "kept").read_bytes(), text) is None


async def test_keys_are_acted_on_and_text_is_not(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", python(ECHO, mode="pty"))
        await said(link, b"up")
        await link.write(b"a\x03b\n", "text")
        await said(link, rb"'a\x03b\n'")
        await link.write(b"ab\x7fc\r", "keys")
        await said(link, rb"'ac\n'")
        await link.write(b"\x03", "keys")
        await said(link, b"interrupted")


async def test_concurrent_writes_do_not_mix(tmp_path: Path) -> None:
    lines = [bytes((letter,)) * 150_000 + b"\n" for letter in b"abcdef"]
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", program("cat"))
        others = [await linked(hosts, "a") for _ in lines]
        await asyncio.gather(*(other.write(line, "text") for other, line in zip(others, lines, strict=True)))
        await link.close_stdin()
        end = await link.wait()
        assert sorted((await output(link))[0].splitlines(keepends=True)) == lines
        assert end.code == 0


async def test_a_cancelled_write_lets_the_next_one_through(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", python(HELD))
        await said(link, b"up")
        stuck = asyncio.ensure_future(link.write(b"s" * 500_000, "text"))
        other = await linked(hosts, "a")
        await asyncio.wait([stuck], timeout=0.1)
        behind = asyncio.ensure_future(other.write(b"\nbehind\n", "text"))
        await link.status()
        stuck.cancel()
        await asyncio.wait([stuck])
        await link.signal(12)
        await behind
        await said(link, b"\nbehind\n")


async def test_the_end_of_input_reaches_a_terminal(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        for number, text in enumerate((b"", b"whole\n", b"half")):
            link = await hosts.start(f"a{number}", program("cat", mode="pty"))
            await link.write(text, "text")
            await link.close_stdin()
            assert (await link.wait()).code == 0


async def test_a_terminal_can_be_resized_and_pipes_cannot(tmp_path: Path) -> None:
    code = (
        "import os, signal; size = lambda *_: os.write(1, b'%d %d\\n' % os.get_terminal_size())\n"
        "signal.signal(signal.SIGWINCH, size); os.open('/dev/tty', 2); size()\nwhile True: signal.pause()"
    )
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", python(code, mode="pty", rows=33, cols=101))
        await said(link, b"101 33")
        await link.resize(50, 120)
        await said(link, b"120 50")
        status = await link.status()
        assert (status.rows, status.cols) == (50, 120)
        with pytest.raises(HostRefused):
            await link.resize(0, 80)
        pipes = await hosts.start("b", program("cat"))
        with pytest.raises(HostRefused):
            await pipes.resize(24, 80)


async def test_the_status_has_the_terminal_mode_and_the_foreground_process(tmp_path: Path) -> None:
    async with hosting(tmp_path) as hosts:
        link = await hosts.start(
            "a", program("sh", "-c", "echo up; stty -echo; echo off; cat; sleep 60", mode="pty")
        )
        await said(link, b"off")
        await link.write(b"hello\n", "text")
        await said(link, b"hello")
        status = await link.status()
        assert (status.mode, status.echo, status.canonical) == ("pty", False, True)
        assert status.foreground_name == "sh"
        assert status.foreground_pid == link.identity.program_pid == status.program_pid
        assert (status.host_start, status.boot_id) == (link.identity.host_start, link.identity.boot_id)
        await until(link, "waits")
        await link.close_stdin()  # cat ends; a sleeping process does not wait for input
        await until(link, "no")


async def until(link: HostLink, reader: str) -> None:
    async with asyncio.timeout(SECONDS):
        while (await link.status()).reader != reader:
            pass


@pytest.mark.parametrize(
    ("code", "reader"),
    [
        ("input()", "waits"),
        ("select.select([0], [], [])", "waits"),
        ("select.select([0, os.pipe()[0]], [], [])", "waits"),
        ("p = select.poll(); p.register(0, select.POLLIN); p.poll()", "waits"),
        ("p = select.epoll(); p.register(0, select.EPOLLIN); p.poll()", "waits"),
        ("p = select.epoll(); p.register(0, select.EPOLLIN); p.poll(99)", "polls"),
        ("select.select([0], [], [], 99)", "polls"),
        ("threading.Thread(target=time.sleep, args=(99,)).start(); input()", "polls"),
        ("threading.Thread(target=input).start(); time.sleep(99)", "polls"),
        ("a, b = socket.socketpair(); select.select([0, a], [], [])", "waits"),
        ("a = socket.create_server(('127.0.0.1', 0)); select.select([0, a], [], [])", "shares"),
        ("a, b = socket.socketpair(); select.select([a], [], [])", "no"),
        ("time.sleep(99)", "no"),
        ("while True: pass", "no"),
        ("subprocess.run(['sleep', '99'])", "no"),
        ("subprocess.run(['cat'])", "waits"),
    ],
)
@pytest.mark.parametrize("mode", ["pty", "pipes"])
async def test_the_status_distinguishes_waiting_for_input_from_working(
    tmp_path: Path, code: str, reader: str, mode: Literal["pty", "pipes"]
) -> None:
    modules = "os, select, socket, subprocess, sys, threading, time"
    source = f"import {modules}\nprint('up', flush=True)\n{code}"
    async with hosting(tmp_path) as hosts:
        link = await hosts.start("a", program(*PYTHON, source, mode=mode))
        await said(link, b"up")
        await until(link, reader)
        await link.end(0)
