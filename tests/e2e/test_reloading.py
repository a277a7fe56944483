"""Changing the configuration of a running hub: `rhetor reload`, SIGHUP, and invalid files."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from tests.e2e.home import BIN, SECONDS, Machine
from tests.provider.process import ProviderProcess
from tests.provider.script import Script

pytestmark = pytest.mark.long  # each test starts a hub, or several

CLOUDY = "specialists:\n  cloud: {{role: weather, capabilities: {{weather: 0.9}}}}\n  apollo: null\n{more}"


def reload(machine: Machine, *flags: str) -> subprocess.CompletedProcess[str]:
    return machine.rhetor("reload", *flags)


def configure(machine: Machine, text: str) -> None:
    machine.folder.mkdir(mode=0o700, exist_ok=True)
    (machine.folder / "config.yaml").write_text(text)


def names(machine: Machine) -> set[str]:
    return {line.split()[0] for line in machine.run("list").stdout.splitlines()[1:]}


def test_a_reload_applies_the_changes_to_the_running_hub(machine: Machine) -> None:
    assert machine.run("apollo", "hi").returncode == 0
    pid = machine.hub_pid()
    configure(machine, CLOUDY.format(more="teams: {sky: [cloud, numa]}\nhub: {port: 1234}\n"))
    told = reload(machine)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("changed: specialists.apollo, specialists.cloud, teams.sky\n")
    assert told.stdout.endswith("takes effect when the hub restarts: hub.port\n")
    assert reload(machine).stdout == "no changes to apply\n"
    assert names(machine) >= {"cloud", "athena"}
    assert machine.run("apollo", "hi").returncode == 3
    answered = machine.run("@weather", "rain?")
    assert (answered.returncode, answered.stdout[:6]) == (0, "Cloud,")
    assert "[From Cloud]" in machine.run("team:sky", "rain?").stdout
    configure(machine, "")
    assert reload(machine).returncode == 0
    assert "cloud" not in names(machine)
    assert machine.run("apollo", "hi").returncode == 0
    assert machine.hub_pid() == pid


def test_a_reload_of_an_invalid_file_names_the_line_and_changes_nothing(machine: Machine) -> None:
    configure(machine, CLOUDY.format(more=""))
    assert machine.run("cloud", "hi").returncode == 0
    for text, why in (
        ("specialists:\n  cloud: {roll: x}\n", "line 2: specialists.cloud.roll: there is no such setting"),
        ("hub: {port: 1}\nteams: {sky: [nobody]}\n", "line 2: teams.sky: no peer is called 'nobody'"),
        ("tools: {help: {executable: cat}}\n", "line 1: tools.help: this is the name of a command"),
        ("hub: {host: 0.0.0.0}\n", "hub.host: 0.0.0.0 can be reached by other machines"),
        ("mcp_servers: {a: {command: x y}}\n", "mcp_servers.a.command: must be a list"),
        ("hub: [\n", "line 2, column 1: "),
    ):
        configure(machine, text)
        told = reload(machine)
        assert (told.returncode, told.stdout) == (2, "")
        assert why in told.stderr
        assert "cloud" in names(machine)


def test_sighup_reloads_and_an_invalid_file_changes_nothing(machine: Machine) -> None:
    machine.run("apollo", "hi")
    pid = machine.hub_pid()
    configure(machine, CLOUDY.format(more=""))
    os.kill(pid, signal.SIGHUP)
    _until(lambda: "cloud" in names(machine))
    configure(machine, "nonsense: 1\n")
    os.kill(pid, signal.SIGHUP)
    _until(lambda: "nonsense: there is no such setting" in (machine.folder / "hub.log").read_text())
    assert machine.run("cloud", "hi").returncode == 0
    assert machine.hub_pid() == pid


def test_a_hub_stops_cleanly_when_its_terminal_is_closed(machine: Machine) -> None:
    pid, terminal = pty.fork()
    if not pid:
        os.execve(f"{BIN}/rhetor", ["rhetor", "serve", "--port", "0"], machine.environment)
    said = b""
    while b"rhetor listening on" not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert not (machine.folder / "hub.sock").exists()


@pytest.fixture
def models() -> Iterator[ProviderProcess]:
    """A provider that has the models m1 and m2."""
    with ProviderProcess("--model", "m1", "--model", "m2", "--key", "k") as process:
        yield process


def local(url: str, model: str) -> str:
    entry = f"{{kind: openai, api_key_env: LOCAL_KEY, base_url: '{url}/v1'}}"
    return f"providers: {{local: {entry}}}\nmodels: {{default: local/{model}}}\n"


def test_a_reload_rejects_a_model_that_its_provider_does_not_have(
    machine: Machine, models: ProviderProcess
) -> None:
    machine.environment |= {"LOCAL_KEY": "k"}
    configure(machine, local(models.url, "m1"))
    assert machine.run("apollo", "hi").returncode == 0
    configure(machine, local(models.url, "m11"))
    told = reload(machine)
    assert (told.returncode, told.stdout) == (2, "")
    assert (
        "config.yaml: line 2: models.default: local has no model 'm11'; did you mean local/m1?" in told.stderr
    )
    assert machine.run("apollo", "again").returncode == 0  # with the model from before
    os.kill(machine.hub_pid(), signal.SIGHUP)
    _until(lambda: "invalid configuration rejected" in (machine.folder / "hub.log").read_text())


def test_a_hub_starts_without_its_provider_and_warns_until_the_provider_answers(
    machine: Machine, models: ProviderProcess
) -> None:
    machine.environment |= {"LOCAL_KEY": "k"}
    configure(machine, local("http://127.0.0.1:1", "m1"))
    assert machine.run("list").returncode == 0
    _until(lambda: "models.default" in machine.run("status").stdout)
    doctor = machine.run("doctor").stdout
    assert re.search(r"– model +models\.default: local cannot be reached", doctor)
    assert (
        '"event": "a model cannot be used", "setting": "models.default", "model": "local/m1"'
        in (machine.folder / "hub.log").read_text()
    )
    configure(machine, local(models.url, "m2"))
    assert reload(machine).returncode == 0
    assert "models.default" not in machine.run("status").stdout


def test_doctor_names_a_model_of_the_variable_that_the_provider_does_not_have(
    machine: Machine, models: ProviderProcess
) -> None:
    machine.environment |= {
        "OPENAI_BASE_URL": f"{models.url}/v1",
        "OPENAI_API_KEY": "k",
        "RHETOR_MODEL": "m11",
    }
    assert machine.run("list").returncode == 0
    _until(lambda: "RHETOR_MODEL" in machine.run("status").stdout)
    doctor = machine.run("doctor")
    why = r"✗ model +RHETOR_MODEL: openai has no model 'm11'; did you mean openai/m1\?"
    assert re.search(why, doctor.stdout)
    assert doctor.returncode == 1


def test_a_running_turn_keeps_the_model_that_it_started_with(
    machine: Machine, models: ProviderProcess
) -> None:
    models.script(Script(chunks=("half ", "more"), hold={1: "reloaded"}), Script(chunks=("next",)))
    machine.environment |= {"LOCAL_KEY": "k"}
    configure(machine, local(models.url, "m1"))
    shell = machine.start("apollo", "go")
    assert shell.stdout is not None
    assert shell.stdout.read(5) == b"half "
    configure(machine, local(models.url, "m2"))
    assert "models.default" in reload(machine).stdout
    assert machine.run("apollo", "again").stdout == "next\n"
    models.release("reloaded")
    assert shell.communicate(timeout=SECONDS)[0] == b"more\n"
    assert shell.returncode == 0
    asked = [call["body"]["model"] for call in models.calls() if "completions" in call["path"]]
    assert asked == ["m1", "m2"]


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_running_program_stays_a_peer_after_its_entry_is_removed(machine: Machine, by_hand: bool) -> None:
    configure(machine, "tools: {mirror: {driver: stdio, executable: cat}}\n")
    assert machine.run("mirror", "-x", "hi").stdout == "hi\n"
    configure(machine, "")
    assert reload(machine).returncode == 0
    assert machine.run("mirror", "-x", "still there").stdout == "still there\n"
    machine.run("shutdown")
    machine.wait_for_end()
    assert machine.run("mirror", "-x", "and there").stdout == "and there\n"
    assert reload(machine).returncode == 0
    if by_hand:
        assert machine.run("tools", "terminate", "mirror").returncode == 0
    else:
        machine.end_programs()
    _until(lambda: "mirror" not in names(machine))
    assert machine.run("apollo", "hi").returncode == 0


def test_a_reload_without_a_hub_fails(machine: Machine) -> None:
    told = reload(machine)
    assert (told.returncode, told.stdout) == (1, "")
    assert "no hub answers on" in told.stderr


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
