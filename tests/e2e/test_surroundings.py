"""Unusual environments: closed descriptors, full disks, users without a name, other runtime folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.home import SECONDS, Machine


@pytest.fixture
def offline(machine: Machine) -> Machine:
    machine.environment["RHETOR_MODELS__DEFAULT"] = "offline"
    return machine


def closing(*numbers: int) -> Callable[[], None]:
    def close() -> None:
        for number in numbers:
            os.close(number)

    return close


@pytest.mark.long
@pytest.mark.parametrize("closed", [(1,), (0, 1, 2)])
def test_a_hub_whose_standard_descriptors_are_closed_runs(offline: Machine, closed: tuple[int, ...]) -> None:
    hub = subprocess.Popen(
        [offline.bin / "rhetor", "serve", "--port", "0"],
        env=offline.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=closing(*closed),
    )
    try:
        if 1 not in closed:
            assert hub.stdout and b"listening" in hub.stdout.readline()
        wait_until_it_listens(offline, hub)
        for number in closed:
            assert Path(f"/proc/{hub.pid}/fd/{number}").readlink() == Path(os.devnull)
        assert offline.run("apollo", "hi").returncode == 0
    finally:
        hub.terminate()
        hub.communicate(timeout=SECONDS)
    assert hub.returncode == 0


def wait_until_it_listens(machine: Machine, hub: subprocess.Popen[bytes]) -> None:
    while machine.run("status").returncode != 0:
        assert hub.poll() is None


@pytest.mark.parametrize("closed", [(1, 2)])
def test_a_shell_whose_standard_descriptors_are_closed_starts_the_hub(
    offline: Machine, closed: tuple[int, ...]
) -> None:
    ran = subprocess.run(
        [offline.bin / "aish", "apollo", "hi"],
        env=offline.environment,
        stdin=subprocess.DEVNULL,
        preexec_fn=closing(*closed),
        timeout=SECONDS,
        check=False,
    )
    assert ran.returncode == 1  # nobody got the answer
    descriptors = [Path(f"/proc/{offline.hub_pid()}/fd/{number}").readlink() for number in (0, 2)]
    assert descriptors == [Path(os.devnull), offline.folder / "hub.log"]
    assert (offline.folder / "hub.pid").read_text() == f"{offline.hub_pid()}\n"


WRITES_TO_STDOUT = [
    ("aish", "list"),
    ("aish", "status"),
    ("aish", "apollo", "hi", "--quiet"),
    ("aish", "a,b", "--help"),
    ("aish", "apollo,athena", "hi", "--quiet"),
    ("aish", "-c", "apollo hi --quiet | athena --quiet"),
    ("rhetor", "token"),
    ("rhetor", "config", "show"),
    ("rhetor", "check"),
    ("rhetor", "export"),
    ("rhetor", "--help"),
]


@pytest.mark.long
def test_a_full_standard_output_is_reported_in_one_sentence(offline: Machine) -> None:
    offline.run("list")
    for program, *words in WRITES_TO_STDOUT:
        with Path("/dev/full").open("wb") as full:
            ran = subprocess.run(
                [offline.bin / program, *words],
                env=offline.environment,
                stdin=subprocess.DEVNULL,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        assert ran.returncode == 1
        assert ran.stderr.endswith("No space left on device\n") and ran.stderr.count("\n") == 1


def test_a_closed_standard_output_is_reported_in_one_sentence(offline: Machine) -> None:
    offline.run("list")
    for program, *words in WRITES_TO_STDOUT:
        ran = subprocess.run(
            [offline.bin / program, *words],
            env=offline.environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=closing(1),
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert ran.returncode == 1, (program, words)
        assert ran.stderr.endswith("Bad file descriptor\n") and ran.stderr.count("\n") == 1, ran.stderr


def test_a_full_standard_error_loses_no_answer(offline: Machine) -> None:
    offline.run("list")
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [offline.bin / "aish", "apollo", "hi"],
            env=offline.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=full,
            timeout=SECONDS,
            check=False,
        )
    assert (ran.returncode, ran.stdout[:6]) == (0, b"Apollo")


@pytest.fixture
def short() -> Iterator[Path]:
    """Yield a folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="rhetor-test.", dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.long
def test_callers_with_another_runtime_folder_find_the_hub_and_its_programs(
    tmp_path: Path, short: Path
) -> None:
    far = Machine(tmp_path / ("long" * 30))
    ours, theirs = short / "a", short / "b"
    for folder in (ours, theirs):
        folder.mkdir(mode=0o700)
    far.environment |= {"XDG_RUNTIME_DIR": str(ours), "RHETOR_MODELS__DEFAULT": "offline"}
    try:
        assert far.run("ci-tool", "-n", "box", "--", "cat").returncode == 0
        pid = far.hub_pid()
        far.environment["XDG_RUNTIME_DIR"] = str(theirs)
        assert far.run("box", "one", "-x").stdout == "one\n"
        del far.environment["XDG_RUNTIME_DIR"]
        assert far.run("apollo", "hi").returncode == 0
        assert far.hub_pid() == pid
        assert far.run("shutdown").returncode == 0
        assert far.run("box", "two", "-x").stdout == "two\n"
        assert f"unix:{ours}/rhetor-" in far.status()["sockets"][0]
    finally:
        far.end_programs()
        far.run("shutdown")


def test_a_missing_runtime_folder_is_replaced(tmp_path: Path, short: Path) -> None:
    far = Machine(tmp_path / ("long" * 30))
    gone = short / "gone"
    gone.mkdir(mode=0o700)
    far.environment |= {"XDG_RUNTIME_DIR": str(gone), "RHETOR_MODELS__DEFAULT": "offline"}
    assert far.run("list").returncode == 0
    assert far.run("shutdown").returncode == 0
    shutil.rmtree(gone)
    try:
        assert far.run("list").returncode == 0
        folder = Path(far.status()["sockets"][0].removeprefix("unix:")).parent
        assert folder.parent == Path("/tmp")
    finally:
        far.run("shutdown")
    shutil.rmtree(folder)


NAMELESS = ("unshare", "--user", "--map-user=54321", "--map-group=54321")  # a uid without an entry in passwd


def can_be_nameless() -> bool:
    try:
        return subprocess.run([*NAMELESS, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not can_be_nameless(), reason="this machine has no user namespaces")
def test_a_user_without_a_name_in_passwd_can_use_the_hub(offline: Machine) -> None:
    """The hub runs in a user namespace, in which the same user has another number."""
    folder = offline.folder.parent
    environment = {**offline.environment, "XDG_STATE_HOME": str(folder), "SHELL": "/bin/sh"}
    for name in ("HOME", "RHETOR_HOME"):
        environment.pop(name, None)
    script = f"""
        set -e
        aish() {{ {offline.bin}/aish "$@"; }}
        aish apollo hi
        aish ci-tool -n box -- cat > /dev/null
        aish box one -x
        aish list > /dev/null
        aish whoami > /dev/null 2>&1 || true
        aish sessions import --dry-run
        aish tools terminate box
        aish shutdown
    """
    ran = subprocess.run(
        [*NAMELESS, "/bin/sh", "-c", script],
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (ran.returncode, "Traceback" in ran.stderr) == (0, False), ran.stderr
    answer, box, imports, ended, stopped = ran.stdout.splitlines()
    assert answer.startswith("Apollo")
    assert (box, imports, stopped) == ("one", "No conversations to import", "Stopped the hub")
    assert ended.startswith("✓ box exited")
