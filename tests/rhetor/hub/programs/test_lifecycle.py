"""Programs as peers, from their start to their end, as recorded in the log."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.rhetor.drivers.programs.host.hosting import PYTHON, children_of, descriptors, ended, hosting
from tests.scale import FULL
from tests.served import SECONDS, Served, served, with_programs

from rhetor.domain import event as ev
from rhetor.domain.command import SendMessage
from rhetor.domain.event import Payload
from rhetor.domain.principal import Principal
from rhetor.drivers.programs import program
from rhetor.drivers.programs.host.folder import start_time
from rhetor.store.memory import MemoryStore
from rhetor.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio

DEATHS = 100 if FULL else 8
STARTS = 1000 if FULL else 20
ME = Principal.person("me", local=True)

HALF = "import sys; sys.stdout.write({said!r}); sys.stdout.flush(); {then}"
HANGS = "import time; time.sleep(600)"
READS = "import sys; sys.stdin.readline(); "
# ignores signals to end, as do its two children and their children, two of which have left the session
STUBBORN = """
import os, signal, sys, time
for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(signum, signal.SIG_IGN)
for leaves in (False, True):
    if os.fork() == 0:
        if leaves:
            os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        time.sleep(600)
print("ready", flush=True)
time.sleep(600)
"""
# prints the numbers from 1 to its argument, and answers each line of input
COUNTS = """
import sys, threading
def answer():
    for line in sys.stdin:
        print("heard", line.strip(), flush=True)
threading.Thread(target=answer, daemon=True).start()
for number in range(1, int(sys.argv[1]) + 1):
    print(number, flush=number % 7 == 0)
print("counted", flush=True)
threading.Event().wait()
"""


def is_a(*kinds: type[Payload]) -> Callable[[Payload], bool]:
    return lambda payload: isinstance(payload, kinds)


def says_at_last(text: str) -> Callable[[Payload], bool]:
    return lambda payload: getattr(payload, "text", "").endswith(text)


def text_of(payloads: list[Payload]) -> str:
    channels = ("answer", "unsolicited")
    return "".join(p.text for p in payloads if isinstance(p, ev.OutputDelta) and p.channel in channels)


def descendants(pid: int) -> set[int]:
    """The descendants of a process, without those that were reparented."""
    found: set[int] = set()
    for process in Path("/proc").iterdir():
        with contextlib.suppress(ValueError, OSError):
            parent = int((process / "stat").read_text().rsplit(") ", 1)[1].split()[1])
            if parent == pid:
                found |= {int(process.name)} | descendants(int(process.name))
    return found


async def family(host: int) -> dict[int, int]:
    """Wait until the stubborn program has all its descendants; return all five with their start times."""
    async with asyncio.timeout(SECONDS):
        while len(found := descendants(host)) < 5:  # noqa: ASYNC110 (the kernel sends no event)
            await asyncio.sleep(0.01)
    return {pid: start_time(pid) or 0 for pid in found}


async def opened(gate: Path) -> None:
    """Let the program that reads from the gate continue."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
                return
            except OSError:  # the program does not read yet
                await asyncio.sleep(0.01)


async def killed(pid: int) -> None:
    start = start_time(pid)
    assert start is not None
    os.kill(pid, signal.SIGKILL)
    await ended(pid, start)


async def gone(home: Served, peer: str) -> list[Payload]:
    """Wait for the program's end in the hub's stream; return its session's payloads up to the end."""
    end = is_a(ev.PeerExited, ev.PeerLost)
    payloads = await home.seen(await home.standing(peer), end)
    await home.seen(
        "hub", lambda p: isinstance(p, ev.PeerStatusChanged) and (p.peer, p.status) == (peer, "gone")
    )
    return payloads


@pytest.mark.long
async def test_the_incomplete_last_line_of_a_program_is_logged_before_its_end() -> None:
    async with with_programs(seconds=300) as home:
        for number in range(DEATHS):
            name, by_signal = f"p{number}", number % 2 == 0
            then = HANGS if by_signal else "sys.exit(3)"
            peer = await home.announce(name, *PYTHON, HALF.format(said="one\ntwo\nhal", then=then))
            session = await home.standing(name)
            await home.seen(session, lambda p: getattr(p, "text", "").endswith("hal"))
            if by_signal:
                began = time.time_ns() // 1_000_000
                os.kill(peer["pid"], signal.SIGKILL)
            payloads = await gone(home, name)
            end = ev.PeerExited(name, None, 9) if by_signal else ev.PeerExited(name, 3, None)
            assert payloads[-2:] == [ev.OutputPartial("hal"), end]
            assert text_of(payloads) == "one\ntwo\nhal"
            assert end in await home.log("hub")
            if by_signal:
                assert home.hub.state.gone[name][1] - began < 1000  # milliseconds
            assert (await home.status(name))["status"] == "gone"


@pytest.mark.long
async def test_a_turn_fails_and_keeps_its_output_if_its_program_ends() -> None:
    async with with_programs(seconds=300) as home:
        for number in range(DEATHS):
            name, by_signal = f"p{number}", number % 2 == 0
            then = "os.kill(os.getpid(), 9)" if by_signal else "sys.exit(3)"
            code = "import os; " + READS + HALF.format(said="half an ans", then=then)
            await home.announce(name, *PYTHON, code)
            answer = await home.say(name, "go")
            session = await home.standing(name)
            payloads = await home.seen(session, is_a(ev.TurnFailed))
            end = payloads[-1]
            assert isinstance(end, ev.TurnFailed)
            assert payloads[-2] == ev.OutputPartial("half an ans")
            exit_code, signum = (None, 9) if by_signal else (3, None)
            assert (end.code, end.data) == ("program_ended", {"exit_code": exit_code, "signal": signum})
            assert (answer.status, answer.json["code"]) == (502, "program_ended")
            assert answer.json["partial"] == "half an ans"
            assert (await gone(home, name))[-1] == ev.PeerExited(name, exit_code, signum)
            whole = await home.log(session)
            assert whole.count(ev.OutputPartial("half an ans")) == 1


async def test_a_turn_completes_if_its_program_exits_with_status_0() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, READS + "print('bye')")
        answer = await home.say("p", "go")
        assert (answer.status, answer.json["response"]) == (200, "bye\n")
        assert ev.PeerExited("p", 0) in await gone(home, "p")
        late = await home.say("p", "again")
        assert (late.status, late.json["code"]) == (409, "not_running")
        assert late.json["hint"] == "wrap it again with aish ci-terminal or aish ci-tool"
        session = await home.standing("p")
        for state, listed in (("active", []), ("stopped", [session])):
            found = (await home.ask("GET", f"/api/v2/sessions?state={state}")).json["sessions"]
            assert [each["id"] for each in found] == listed
        await home.announce("p", *PYTHON, READS)  # a program of that name continues its session
        assert (await home.ask("GET", f"/api/v2/sessions/{session}")).json["state"] == "active"


@pytest.mark.parametrize("kind", ["stdio", "terminal"])
async def test_ending_a_program_that_ignores_signals_ends_all_its_descendants(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "GRACE_SECONDS", 0.5)
    async with with_programs(seconds=60) as home:
        await home.announce("p", *PYTHON, STUBBORN, kind=kind)
        instance = home.hub.state.instances["p"]
        all_ = await family(instance.running.host_pid)
        answer = await home.ask("DELETE", "/api/v2/programs/p")
        assert (answer.status, answer.json) == (200, {"name": "p", "exit_code": None, "signal": 9})
        assert [pid for pid, began in all_.items() if start_time(pid) == began] == []
        assert (await home.ask("GET", "/api/v2/ai/p")).status == 404


@pytest.mark.parametrize("kind", ["stdio", "terminal"])
async def test_a_program_is_lost_if_its_host_is_killed(kind: str) -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, STUBBORN, kind=kind)
        instance = home.hub.state.instances["p"]
        all_ = await family(instance.running.host_pid)
        start = start_time(instance.running.pid)
        assert start is not None
        await killed(instance.running.host_pid)
        payloads = await gone(home, "p")
        assert isinstance(payloads[-1], ev.PeerLost)
        assert payloads[-1] in await home.log("hub")
        status = await home.status("p")
        assert (status["status"], status["evidence"]) == ("gone", payloads[-1].reason)
        await asyncio.wait_for(instance.end_logged.wait(), SECONDS)
        await ended(instance.running.pid, start)
        # none of them is left, whatever session it is in
        await asyncio.gather(*(ended(pid, began) for pid, began in all_.items()))


async def test_a_turn_fails_if_the_host_of_its_program_is_killed() -> None:
    async with with_programs() as home:
        await home.announce("p", *PYTHON, READS + HALF.format(said="so far", then=HANGS), delimiter="END\n")
        turn = asyncio.create_task(home.say("p", "go"))
        session = await home.standing("p")
        await home.seen(session, lambda p: getattr(p, "text", "") == "so far")
        await killed(home.hub.state.instances["p"].running.host_pid)
        answer = await turn
        assert (answer.status, answer.json["code"], answer.json["partial"]) == (
            502,
            "program_ended",
            "so far",
        )
        assert isinstance((await gone(home, "p"))[-1], ev.PeerLost)


@pytest.mark.long
async def test_many_starts_and_ends_leave_nothing_behind() -> None:
    async with with_programs(seconds=1200) as home:

        async def once(number: int) -> None:
            # for python3, the terminal driver writes startup files that mark commands
            kind, argv = ("terminal", ("python3",)) if number % 2 else ("stdio", (*PYTHON, HANGS))
            await home.announce(f"p{number}", *argv, kind=kind)
            assert (await home.ask("DELETE", f"/api/v2/programs/p{number}")).status == 200

        async def four() -> None:
            await asyncio.gather(*map(once, range(4)))

        await four()
        before = descriptors(os.getpid())
        for _ in range(STARTS // 4):
            await four()
        assert descriptors(os.getpid()) <= before + 2
        assert "Z" not in children_of(os.getpid())
        for folder in ("hosts", "startup"):
            path = home.socket.parent / folder
            assert not path.is_dir() or list(path.iterdir()) == []


async def test_output_after_a_turn_is_logged_once_in_the_default_session() -> None:
    says = (
        "import sys\n"
        "for line in sys.stdin: print('answer'); print('END'); print('later', line, end='', flush=True)"
    )
    async with with_programs() as home:
        await home.announce("p", *PYTHON, says, delimiter="END\n")
        for number in range(3):
            answer = await home.say("p", f"{number}")
            assert answer.json["response"] == "answer\n"
            after = f"later {number}END\n"  # the delimiter is a line of input, too
            await home.seen(await home.standing("p"), says_at_last(after))
        session = await home.standing("p")
        apart = [r async for r in _unturned(home, session)]
        assert "".join(apart) == "".join(f"later {n}END\n" for n in range(3))


async def _unturned(home: Served, session: str) -> AsyncIterator[str]:
    head = await home.hub.state.store.head(session)
    assert head is not None
    for record in await home.hub.state.store.page(session, ev.Position(head.epoch, 0), 1000):
        if isinstance(record.event.payload, ev.OutputDelta) and record.event.turn_id is None:
            yield record.event.payload.text


async def test_programs_continue_after_a_shutdown_and_the_next_hub_reads_them() -> None:
    store = MemoryStore(clock=lambda: 1)
    with tempfile.TemporaryDirectory(prefix="rt") as name:
        folder = Path(name)
        gate = folder / "gate"
        os.mkfifo(gate)
        says = (
            "import sys; print('first', flush=True); open(sys.argv[1]).read();"
            "print('meanwhile', flush=True);"
            "[print('heard', line, end='', flush=True) for line in sys.stdin]"
        )
        async with hosting(folder) as hosts:
            async with served(folder, store=store, hosts=hosts) as home:
                peer = await home.announce("p", *PYTHON, says, str(gate))
                session = await home.standing("p")
                await home.seen(session, lambda p: getattr(p, "text", "") == "first\n")
            await opened(gate)
            async with served(folder, store=store, hosts=hosts) as home:
                payloads = await home.seen(session, lambda p: "meanwhile" in getattr(p, "text", ""))
                assert text_of(payloads) == "first\nmeanwhile\n"
                assert (await home.ask("GET", "/api/v2/ai/p")).json["pid"] == peer["pid"]
                assert (await home.say("p", "hi")).json["response"] == "heard hi\n"


async def test_output_of_a_turn_interrupted_by_shutdown_is_logged_by_the_next_hub() -> None:
    store = MemoryStore(clock=lambda: 1)
    with tempfile.TemporaryDirectory(prefix="rt") as name:
        folder = Path(name)
        gate = folder / "gate"
        os.mkfifo(gate)
        says = (
            READS
            + "print('half', flush=True); open(sys.argv[1]).read(); print('rest', flush=True); "
            + HANGS.replace("import time; ", "import time\n")
        )
        async with hosting(folder) as hosts:
            async with served(folder, store=store, hosts=hosts) as home:
                await home.announce("p", *PYTHON, says, str(gate), delimiter="END\n")
                accepted = await home.hub.execute(ME, SendMessage("go", target="p", execute=True))
                await home.seen(accepted.session_id, lambda p: getattr(p, "text", "") == "half\n")
            async with served(folder, store=store, hosts=hosts) as home:
                await opened(gate)
                payloads = await home.seen(accepted.session_id, lambda p: "rest" in getattr(p, "text", ""))
                assert ev.OutputPartial("half\n") in payloads
                assert ev.TurnInterrupted("the hub was shut down") in payloads
                assert text_of(payloads) == "half\nrest\n"


async def hosts_removed(home: Served, folder: Path) -> None:
    """Wait until the folder has no files of any host."""
    async with asyncio.timeout(SECONDS):
        while True:
            changed = home.hub.state.notifier.next()
            if not list((folder / "hosts").iterdir()):
                return
            await changed.wait()


async def test_the_end_of_a_program_while_no_hub_ran_is_logged_and_its_files_are_removed() -> None:
    store = MemoryStore(clock=lambda: 1)
    with tempfile.TemporaryDirectory(prefix="rt") as name:
        folder = Path(name)
        async with hosting(folder, orphan_seconds=0.1) as hosts:
            async with served(folder, store=store, hosts=hosts) as home:
                await home.announce("p", "cat")
                session = await home.standing("p")
                host = home.hub.state.instances["p"].running.host_pid
                start = start_time(host)
                assert start is not None
            await ended(host, start)
            async with served(folder, store=store, hosts=hosts) as home:
                end = ev.PeerExited("p", None, signal.SIGTERM)
                assert (await home.seen(session, is_a(ev.PeerExited, ev.PeerLost)))[-1] == end
                await hosts_removed(home, folder)
                assert end in await home.log("hub")


async def test_output_produced_while_no_hub_ran_is_logged_before_the_end() -> None:
    store = MemoryStore(clock=lambda: 1)
    with tempfile.TemporaryDirectory(prefix="rt") as name:
        folder = Path(name)
        waits = f"while [ ! -e {folder}/go ]; do sleep 0.01; done; echo left to say; exit 3"
        async with hosting(folder, orphan_seconds=1.0) as hosts:
            async with served(folder, store=store, hosts=hosts) as home:
                await home.announce("p", "sh", "-c", waits)
                session = await home.standing("p")
                host = home.hub.state.instances["p"].running.host_pid
                start = start_time(host)
                assert start is not None
            (folder / "go").touch()
            await ended(host, start)
            async with served(folder, store=store, hosts=hosts) as home:
                payloads = await home.seen(session, is_a(ev.PeerExited, ev.PeerLost))
                assert payloads[-2:] == [
                    ev.OutputDelta("left to say\n", "unsolicited"),
                    ev.PeerExited("p", 3, None),
                ]
                await hosts_removed(home, folder)


async def test_waiting_messages_run_under_the_next_hub_except_those_for_a_terminal() -> None:
    never = (
        "import sys; print('> ', end='', flush=True)\n"
        "for line in sys.stdin: print('heard', line[:6], flush=True)"
    )
    store = MemoryStore(clock=lambda: 1)
    with tempfile.TemporaryDirectory(prefix="rt") as name:
        folder = Path(name)
        async with hosting(folder) as hosts:
            async with served(folder, store=store, hosts=hosts) as home:
                sent = {}
                for peer, kind in (("tool", "stdio"), ("term", "terminal")):
                    # the delimiter never comes, so the second message waits for the first
                    await home.announce(peer, *PYTHON, never, kind=kind, delimiter="END\n")
                    for number in range(2):
                        message = SendMessage(f"{peer} {number}", target=peer, execute=True)
                        sent[peer, number] = await home.hub.execute(ME, message)
                    instance = home.hub.state.instances[peer]
                    while instance.status.state != "busy":
                        await asyncio.wait_for(instance.changed.wait(), SECONDS)
                        await asyncio.sleep(0)
            async with served(folder, store=store, hosts=hosts) as home:
                term, tool = sent["term", 1], sent["tool", 1]
                await home.seen(tool.session_id, lambda p: "heard tool 1" in getattr(p, "text", ""))
                log = await home.log(term.session_id)
                assert [type(p) for p in log if isinstance(p, ev.TurnEnd)] == [ev.TurnInterrupted] * 2
                host = await home.hub.state.instances["term"].running.inspect()
                assert not any("term 1" in line for line in host.screen or ())


async def test_output_is_neither_lost_nor_repeated_while_the_store_rejects_commits() -> None:
    lines = 3_000
    with tempfile.TemporaryDirectory(prefix="rt") as name:
        folder = Path(name)
        store = await SqliteStore.open(folder / "hub.db", clock=lambda: 1, busy_timeout=0.05)
        async with hosting(folder) as hosts, served(folder, store=store, hosts=hosts) as home:
            await home.announce("p", *PYTHON, COUNTS, "0", delimiter="\n")
            session = await home.standing("p")
            await home.seen(session, lambda p: "counted" in getattr(p, "text", ""))
            await home.announce("many", *PYTHON, READS + COUNTS.replace("threading.Thread", "#"), str(lines))
            counting = await home.standing("many")
            with contextlib.closing(sqlite3.connect(folder / "hub.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                refused = await home.say("p", "first")
                assert (refused.status, refused.json["code"]) == (503, "store_refused")
                link = home.hub.state.instances["many"].running.link  # type: ignore[attr-defined]
                await link.write(b"go\n", "text")
                while (await link.status()).head < lines:  # noqa: ASYNC110 (the host sends no event)
                    await asyncio.sleep(0.01)
                other.execute("ROLLBACK")
            payloads = await home.seen(counting, lambda p: "counted" in getattr(p, "text", ""))
            assert text_of(payloads).split() == [*map(str, range(1, lines + 1)), "counted"]
            assert (await home.say("p", "again")).json["response"] == "heard again\n"
        await store.aclose()
