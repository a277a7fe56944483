"""`--workers N`: collect the tests once, then run them in N processes, which are forks of this one.

Importing and collecting all tests takes as long as hundreds of them, so workers that each do that for
themselves, like those of pytest-xdist, spend a fifth of the whole time on it.

The tests come in units (`tests.order`). A file has the number of each unit, and the workers share its offset:
whoever is free reads the next one.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, Literal, NoReturn, cast

import pytest

from tests.order import Unit, units_of

SIZE = 4  # of a unit's number in the file
END_SECONDS = 10.0  # that a worker has to end after it has closed its connection
LOOK_SECONDS = 1.0  # between looks at whether a worker has ended while another process holds its connection


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--workers", type=int, default=0, metavar="N", help="run the tests in N processes")
    parser.addoption(
        "--test-seconds", type=float, default=600, metavar="N", help="with --workers: end a test that hangs"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    options = session.config.option
    if options.workers < 2 or options.collectonly or session.testsfailed:
        return None
    alone, others = units_of(session.items)
    _run(session, alone, 1)
    _run(session, others, options.workers)
    return True


@dataclass
class Worker:
    """A process, and the connection on which it sends what happens in it. `last`: the test that it has begun
    last; `has_failed`: it has said why; `status`: its exit status, once it has ended and was waited for."""

    pid: int
    receiving: Connection
    last: pytest.Item
    is_running: bool = False
    begun: float = 0.0
    hangs: bool = False
    has_failed: bool = False
    status: int | None = None

    def has_ended(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is not None

    def end_if_it_hangs(self, seconds: float) -> None:
        """End it if its test has run for longer. It shows where it was (see `faulthandler`)."""
        if self.is_running and time.monotonic() - self.begun > seconds and not self.has_ended():
            os.kill(self.pid, signal.SIGKILL if self.hangs else signal.SIGABRT)
            self.hangs = True

    def wait(self) -> int:
        """Return the exit status; that of a process which was killed by a signal is negative."""
        until = time.monotonic() + END_SECONDS
        while not self.has_ended():
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.001)
        return cast(int, self.status)

    def end(self) -> None:
        self.receiving.close()
        if not self.has_ended():
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


def _run(session: pytest.Session, units: Sequence[Unit], count: int) -> None:
    """Run the units in `count` processes, and report what happens to every test."""
    items = {item.nodeid: item for unit in units for item in unit}
    missing = dict(items)
    session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    with tempfile.TemporaryFile() as queue:
        queue.write(b"".join(number.to_bytes(SIZE, "little") for number in range(len(units))))
        queue.flush()
        queue.seek(0)
        workers: list[Worker] = []
        try:
            for _ in range(min(count, len(units))):
                workers.append(_fork(session, units, queue.fileno(), [each.receiving for each in workers]))
            for worker, kind, said in _messages(workers, session.config.option.test_seconds):
                if kind == "started":
                    worker.last, worker.is_running, worker.begun = items[said], True, time.monotonic()
                elif kind == "finished":
                    worker.is_running = False
                    del missing[said]
                elif kind == "failure":
                    if worker.is_running:
                        del missing[worker.last.nodeid]
                    worker.is_running, worker.has_failed = False, True
                    _report_failed(session, worker.last, said, "teardown")
                else:
                    _report(session, kind, said)
            _report_lost(session, missing, {each.last.nodeid: each for each in workers if each.is_running})
            _report_ended(session, workers)
        finally:
            for worker in workers:
                worker.end()


def _messages(workers: Sequence[Worker], test_seconds: float) -> Iterator[tuple[Worker, str, Any]]:
    """Yield what the workers send until all of them have ended. A process that a test has forked may keep the
    connection open after that."""
    by_connection = {worker.receiving: worker for worker in workers}
    while by_connection:
        ended = [worker for worker in by_connection.values() if worker.has_ended()]
        ready = wait(list(by_connection), LOOK_SECONDS)
        for connection in ready:
            worker = by_connection[cast(Connection, connection)]
            try:
                yield worker, *worker.receiving.recv()
            except (EOFError, OSError):  # OSError: it ended while it sent something
                del by_connection[worker.receiving]
        for worker in list(by_connection.values()):
            worker.end_if_it_hangs(test_seconds)
        for worker in ended:
            if worker.receiving not in ready:
                by_connection.pop(worker.receiving, None)


def _report(session: pytest.Session, kind: str, said: Any) -> None:
    hook = session.config.hook
    if kind == "report":
        report = hook.pytest_report_from_serializable(config=session.config, data=said)
        hook.pytest_runtest_logreport(report=report)
    else:
        text, filename, line, when, nodeid = said
        warning = warnings.WarningMessage(Warning(text), Warning, filename, line)
        hook.pytest_warning_recorded.call_historic(
            kwargs={"warning_message": warning, "when": when, "nodeid": nodeid, "location": None}
        )
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)


def _report_lost(
    session: pytest.Session, missing: dict[str, pytest.Item], running: dict[str, Worker]
) -> None:
    """Report the tests that have not been run to their ends as failed."""
    for nodeid, item in missing.items():
        reason = "its worker ended while it ran" if nodeid in running else "its worker ended before"
        if nodeid in running and running[nodeid].hangs:
            reason = f"it did not end within {session.config.option.test_seconds:g} s"
        _report_failed(session, item, reason, "call")


def _report_ended(session: pytest.Session, workers: Sequence[Worker]) -> None:
    """Report the workers that ended badly after their last test, in fixtures of the session."""
    for worker in workers:
        status = worker.wait()
        if status and not (worker.is_running or worker.has_failed):
            reason = f"its worker ended with status {status} after its tests"
            _report_failed(session, worker.last, reason, "teardown")


def _report_failed(
    session: pytest.Session, item: pytest.Item, reason: str, when: Literal["call", "teardown"]
) -> None:
    report = pytest.TestReport(item.nodeid, item.location, {}, "failed", reason, when)
    session.config.hook.pytest_runtest_logreport(report=report)


def _fork(
    session: pytest.Session, units: Sequence[Unit], queue: int, of_others: Sequence[Connection]
) -> Worker:
    receiving, sending = Pipe(duplex=False)
    sys.stdout.flush()
    sys.stderr.flush()
    if (pid := os.fork()) == 0:
        for connection in [*of_others, receiving]:  # so that a write fails when the parent has ended
            connection.close()
        _work(session, units, queue, sending)
    sending.close()
    return Worker(pid, receiving, units[0][0])


def _work(session: pytest.Session, units: Sequence[Unit], queue: int, sending: Connection) -> NoReturn:
    """In the forked process: run units until there are no more."""
    status = 1
    try:
        _separate(session.config)
        session.config.pluginmanager.register(_Sender(session.config, sending))
        factory: Any = session.config._tmp_path_factory  # type: ignore[attr-defined]
        folders = factory.getbasetemp()
        while taken := os.read(queue, SIZE):
            number = int.from_bytes(taken, "little")
            # a short list is quickly searched for a new name
            factory._basetemp = folders / f"u{number}"
            factory._basetemp.mkdir(mode=0o700, exist_ok=True)
            _run_unit(session, units[number])
        session._setupstate.teardown_exact(None)
        status = 0
    except BaseException:  # noqa: BLE001  # the parent reports it, and this process ends
        sending.send(("failure", traceback.format_exc()))
    finally:
        os._exit(status)


def _run_unit(session: pytest.Session, unit: Unit) -> None:
    """Run the tests. After the last one, only the fixtures of the session remain."""
    nodes = [*unit[1:], cast(pytest.Item, session)]
    for item, following in zip(unit, nodes, strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def _separate(config: pytest.Config) -> None:
    """Give this process its own files for captured output, and let only the parent write to the terminal."""
    plugins = config.pluginmanager
    plugins.unregister(name="terminalreporter")
    if capturing := plugins.getplugin("capturemanager"):
        capturing.stop_global_capturing()
        capturing.start_global_capturing()


class _Sender:
    """Sends to the parent what happens in this worker."""

    def __init__(self, config: pytest.Config, sending: Connection) -> None:
        self._config = config
        self._sending = sending

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._sending.send(("started", nodeid))

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._sending.send(("finished", nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._sending.send(("report", data))

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str
    ) -> None:
        if when != "runtest":  # the parent has recorded it too
            return
        text = f"{warning_message.category.__name__}: {warning_message.message}"
        said = (text, warning_message.filename, warning_message.lineno, when, nodeid)
        self._sending.send(("warning", said))
