"""How a hub begins and ends, as a user sees it."""

from __future__ import annotations

import os
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
    """`rhetor serve` that listens."""
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
    assert hub.stdout.read() == ""  # the line that it listens is all there is on stdout
    hub.stdout.close()
    return hub.wait(SECONDS)


def test_a_configuration_that_is_named_must_be_there(machine: Machine) -> None:
    refused = serve(machine, "--config", str(machine.folder / "none.yaml"))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"--config: {machine.folder / 'none.yaml'} does not exist" in refused.stderr


def test_who_reads_no_more_of_the_configuration_ends_it_quietly(machine: Machine) -> None:
    line = f"{BIN}/rhetor config show | true"
    ran = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], env=machine.environment, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_hub_that_a_shell_started_ends_when_nobody_uses_it(machine: Machine) -> None:
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
    assert machine.run("apollo", "hi").returncode == 0


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_hub_in_order_and_the_answer_as_interrupted(
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


def test_a_second_hub_in_the_same_home_is_refused(machine: Machine) -> None:
    hub = running(machine, "--port", "0")
    second = serve(machine, "--port", "0")
    assert second.returncode == 2
    assert f"a hub (pid {hub.pid}) is already running" in second.stderr
    machine.end()
    assert ended(hub) == 0


def test_a_hub_that_cannot_be_as_asked_does_not_start_and_says_why(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        for flags, reason in (
            (("--port", port), f"hub.port: 127.0.0.1:{port}: Address already in use"),
            (("--host", "0.0.0.0"), "hub.host: 0.0.0.0 can be reached by other machines"),
            (("--port", "70000"), "hub.port"),
        ):
            refused = serve(machine, *flags)
            assert (flags, refused.returncode, refused.stdout) == (flags, 2, "")
            assert reason in refused.stderr


def test_a_configuration_with_a_mistake_is_refused_with_its_place(machine: Machine) -> None:
    machine.folder.mkdir(mode=0o700)
    (machine.folder / "config.yaml").write_text("hub:\n  port: 0\n  prot: 1\n")
    refused = serve(machine)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "config.yaml: line 3: hub.prot: there is no such setting" in refused.stderr


def test_a_home_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    refused = serve(Machine(tmp_path / "file" / "home"))
    assert refused.returncode == 2
    assert "choose another folder with RHETOR_HOME" in refused.stderr


def test_a_socket_that_a_killed_hub_left_is_in_nobodys_way(machine: Machine) -> None:
    machine.run("apollo", "hi")
    machine.kill_hub()
    assert (machine.folder / "hub.sock").exists()
    assert machine.run("apollo", "hi").returncode == 0


def test_the_configuration_in_force_is_shown_with_where_it_is_from(machine: Machine) -> None:
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
    """The header with what `rhetor token` says."""
    command = [f"{BIN}/rhetor", "token", *flags]
    said = subprocess.run(command, env=machine.environment, capture_output=True, text=True, check=True)
    return {"Authorization": f"Bearer {said.stdout.strip()}"}


def test_the_token_opens_the_tcp_door_until_it_is_another_one(machine: Machine) -> None:
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
