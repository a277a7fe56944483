"""How a hub starts and stops, as a user sees it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from tests.e2e.home import BIN, SECONDS, Machine
from tests.provider.process import ProviderProcess
from tests.provider.script import Script


def serve(machine: Machine, *flags: str) -> subprocess.CompletedProcess[str]:
    return machine.rhetor("serve", *flags)


def running(machine: Machine, *flags: str) -> subprocess.Popen[str]:
    """`rhetor serve`, once it listens."""
    hub = subprocess.Popen(
        [f"{BIN}/rhetor", "serve", *flags],
        env=machine.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert hub.stdout is not None
    assert hub.stdout.readline().startswith("rhetor listening on http://127.0.0.1:")
    return hub


def ended(hub: subprocess.Popen[str]) -> int:
    assert hub.stdout is not None
    assert hub.stdout.read() == ""  # stdout has only the line that was read
    hub.stdout.close()
    return hub.wait(SECONDS)


HTTPS = """
providers: {w: {kind: openai, base_url: "https://127.0.0.1:1/v1", allow_private: true}}
models: {default: w/m}
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("variable", "value", "config"),
    [("SSL_CERT_FILE", "/nonexistent/ca.pem", HTTPS), ("OLLAMA_HOST", "localhost:abc", "")],
)
def test_a_warm_up_that_fails_does_not_end_the_hub(
    machine: Machine, variable: str, value: str, config: str
) -> None:
    machine.folder.mkdir()
    (machine.folder / "config.yaml").write_text(config)
    machine.environment[variable] = value
    hub = running(machine, "--port", "0")
    try:
        machine.run("apollo", "hi", timeout=SECONDS)  # the search of the warm-up runs before the turn
        assert machine.run("ci-tool", "-n", "c", "--", "cat").returncode == 0
        assert machine.run("c", "yo", "-x").stdout == "yo\n"
        assert hub.poll() is None
        machine.run("tools", "terminate", "c")
    finally:
        hub.terminate()
        assert ended(hub) == 0


def test_a_missing_configuration_file_is_rejected_if_it_was_named(machine: Machine) -> None:
    refused = serve(machine, "--config", str(machine.folder / "none.yaml"))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"--config: {machine.folder / 'none.yaml'} does not exist" in refused.stderr


def test_a_closed_pipe_ends_config_show_quietly(machine: Machine) -> None:
    line = f"{BIN}/rhetor config show | true"
    ran = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], env=machine.environment, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.long
def test_a_hub_that_a_shell_started_stops_when_idle(machine: Machine) -> None:
    machine.environment["RHETOR_HUB__IDLE_EXIT"] = "0.3"
    machine.run("apollo", "hi")
    pid = machine.hub_pid()
    fd = os.pidfd_open(pid)
    try:
        import select

        assert select.select([fd], [], [], SECONDS)[0], "the hub did not end"
    finally:
        os.close(fd)
    assert not (machine.folder / "hub.sock").exists()
    assert machine.run("schedule", "add", "daily", "@daily", "apollo hi").returncode == 0
    fd = os.pidfd_open(machine.hub_pid())
    try:
        assert not select.select([fd], [], [], 1.5)[0], "the hub ended although a schedule waits"
        machine.run("schedule", "pause", "daily")
        assert select.select([fd], [], [], SECONDS)[0], "the hub did not end"
    finally:
        os.close(fd)


@pytest.mark.long
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_hub_cleanly_and_interrupts_the_answer(
    machine: Machine, provider: ProviderProcess, signum: signal.Signals
) -> None:
    provider.script(Script(chunks=("half ", "more"), hold={1: f"never {signum}"}))
    machine.environment |= {
        "OPENAI_BASE_URL": f"{provider.url}/v1",
        "OPENAI_API_KEY": "k",
        "RHETOR_MODEL": "m",
    }
    hub = running(machine, "--port", "0")
    shell = machine.start("apollo", "go")
    assert shell.stdout is not None
    assert shell.stdout.read(5) == b"half "
    hub.send_signal(signum)
    assert ended(hub) == 0
    out, err = shell.communicate(timeout=SECONDS)
    assert (shell.returncode, out) == (1, b"\n")
    assert b"the hub was shut down" in err
    assert not (machine.folder / "hub.db-wal").exists()


@pytest.mark.long
def test_a_second_hub_in_the_same_home_is_rejected(machine: Machine) -> None:
    hub = running(machine, "--port", "0")
    second = serve(machine, "--port", "0")
    assert second.returncode == 2
    assert f"a hub (pid {hub.pid}) is already running" in second.stderr
    machine.end()
    assert ended(hub) == 0


@pytest.mark.long
def test_a_second_hub_keeps_the_socket_of_the_first_even_without_lock_files(
    machine: Machine,
) -> None:
    hub = running(machine, "--port", "0")
    for name in ("hub.pid", "hub.db.lock", "start.lock"):
        (machine.folder / name).unlink(missing_ok=True)
    second = serve(machine, "--port", "0")
    assert second.returncode == 2
    assert "a hub is already running" in second.stderr
    assert machine.status()["pid"] == hub.pid
    machine.end()
    assert ended(hub) == 0


@pytest.mark.long
def test_a_hub_whose_home_was_deleted_keeps_the_socket_of_the_next_one(machine: Machine) -> None:
    first = running(machine, "--port", "0")
    while machine.folder.exists():  # the hub may write a file meanwhile
        shutil.rmtree(machine.folder, ignore_errors=True)
    second = running(machine, "--port", "0")
    first.terminate()
    assert ended(first) == 0
    assert machine.status()["pid"] == second.pid
    machine.end()
    assert ended(second) == 0


def test_a_hub_leaves_a_socket_alone_on_which_another_process_listens(machine: Machine) -> None:
    machine.folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(machine.folder / "hub.sock"))
        other.listen()
        refused = serve(machine, "--port", "0")
        assert refused.returncode == 2
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(machine.folder / "hub.sock"))  # the path still belongs to the listener
        (machine.folder / "hub.sock").unlink()


@pytest.mark.long
def test_an_older_or_damaged_database_is_reported_once_in_one_sentence(machine: Machine) -> None:
    database = machine.folder / "hub.db"
    machine.run("list")
    machine.end()
    shutil.copy(database, machine.folder / "copy")
    assert machine.run("session", "create", "work", "--tool", "apollo").returncode == 0
    machine.end()
    shutil.copy(machine.folder / "copy", database)
    assert f"rhetor: {database} is older than it was when the hub stopped" in machine.run("list").stderr
    machine.end()
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    (notice,) = machine.run("list").stderr.splitlines()
    assert notice.startswith(f"rhetor: {database} was damaged, and what could be read has replaced it")
    assert Path(notice.rpartition("; see ")[2]).exists()
    machine.end()
    assert machine.run("list").stderr == ""


@pytest.mark.long
def test_a_hub_with_unusable_flags_does_not_start_and_names_the_reason(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        for flags, reason in (
            (("--port", port), f"hub.port: 127.0.0.1:{port}: Address already in use"),
            (("--host", "0.0.0.0"), "hub.host: 0.0.0.0 can be reached by other machines"),
            (("--port", "70000"), "hub.port"),
            (("--tls-cert", "/none/c.pem"), "hub.tls_cert is set without hub.tls_key"),
            (
                ("--tls-cert", "/none/c.pem", "--tls-key", "/none/k"),
                "hub.tls_cert: /none/c.pem: No such file",
            ),
        ):
            refused = serve(machine, *flags)
            assert (flags, refused.returncode, refused.stdout) == (flags, 2, "")
            assert reason in refused.stderr


def test_an_invalid_configuration_is_rejected_with_its_line(machine: Machine) -> None:
    machine.folder.mkdir(mode=0o700)
    (machine.folder / "config.yaml").write_text("hub:\n  port: 0\n  prot: 1\n")
    refused = serve(machine)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "config.yaml: line 3: hub.prot: there is no such setting" in refused.stderr


def test_a_home_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    refused = serve(Machine(tmp_path / "file" / "home"))
    assert refused.returncode == 2
    assert "choose another folder with RHETOR_HOME" in refused.stderr


def test_a_hub_starts_despite_the_socket_of_a_killed_hub(machine: Machine) -> None:
    machine.run("apollo", "hi")
    machine.kill_hub()
    assert (machine.folder / "hub.sock").exists()
    assert machine.run("apollo", "hi").returncode == 0


def test_config_show_prints_each_value_with_its_origin(machine: Machine) -> None:
    machine.folder.mkdir(mode=0o700)
    server = "mcp_servers:\n  files: {command: [ls], env: {KEY: canary}}\n"
    (machine.folder / "config.yaml").write_text("session:\n  ttl: 60\n" + server)
    machine.environment["RHETOR_HUB__PORT"] = "0"
    shown = subprocess.run(
        [f"{BIN}/rhetor", "config", "show"],
        env=machine.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = shown.stdout.splitlines()
    assert f"session.ttl: 60.0  ({machine.folder}/config.yaml:2)" in lines
    assert "hub.port: 0  (RHETOR_HUB__PORT)" in lines
    assert "limits.hops: 8  (built in)" in lines
    assert "canary" not in shown.stdout


def bearer(machine: Machine, *flags: str) -> dict[str, str]:
    """The header with the output of `rhetor token`."""
    command = [f"{BIN}/rhetor", "token", *flags]
    said = subprocess.run(command, env=machine.environment, capture_output=True, text=True, check=True)
    return {"Authorization": f"Bearer {said.stdout.strip()}"}


@pytest.mark.long
def test_the_token_works_over_tcp_until_it_is_rotated(machine: Machine) -> None:
    import urllib.error
    import urllib.request

    hub = running(machine, "--port", "0")
    url = machine.status()["url"]
    request = urllib.request.Request(f"{url}/api/v2/ai", headers=bearer(machine))
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        urllib.request.urlopen(f"{url}/api/v2/ai")
    refused.value.close()
    rotated = bearer(machine, "--rotate")
    assert rotated == bearer(machine)
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        urllib.request.urlopen(request)
    refused.value.close()
    with urllib.request.urlopen(urllib.request.Request(f"{url}/api/v2/ai", headers=rotated)) as answer:
        assert answer.status == 200
    machine.end()
    assert ended(hub) == 0


def test_the_next_hub_takes_the_port_that_was_chosen_because_another_was_in_use(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        named = other.getsockname()[1]
        machine.environment["RHETOR_HUB__PORT"] = str(named)
        machine.run("list")
        url = machine.status()["url"]
    machine.kill_hub()
    machine.run("list")  # now the port of the settings is free
    assert machine.status()["url"] == url != f"http://127.0.0.1:{named}"
