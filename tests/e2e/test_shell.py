"""The shell and the hub together: starting, sessions, groups, Ctrl-C, and how a line ends."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path

import pytest

from tests.e2e.home import SECONDS, Machine
from tests.provider.process import ProviderProcess
from tests.provider.script import Script

OFFLINE = {"RHETOR_MODELS__DEFAULT": "offline"}
SHELLS = 10


@pytest.fixture
def model(machine: Machine, provider: ProviderProcess) -> ProviderProcess:
    """A model that says what the test wrote, and that the machine's shells have in their environment."""
    machine.environment |= {
        "OPENAI_BASE_URL": f"{provider.url}/v1",
        "OPENAI_API_KEY": "k",
        "RHETOR_MODEL": "m1",
    }
    provider.forget()
    provider.script(default=Script(chunks=("ok",)))
    return provider


def prompts(provider: ProviderProcess) -> list[str]:
    """The last message of each call that the model was given, in order."""
    asked = [call for call in provider.calls() if call["path"].endswith("/completions")]
    return [call["body"]["messages"][-1]["content"] for call in asked]


def hubs_of(home: Path) -> list[int]:
    """The processes that serve this home."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            owned = f"RHETOR_HOME={home}".encode() in (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if owned and b"rhetor" in command and b"serve" in command:
            found.append(int(process.name))
    return found


# -- the hub ----------------------------------------------------------------------------------------------


def test_shells_that_start_at_once_start_one_hub(machine: Machine) -> None:
    machine.environment |= OFFLINE
    shells = [machine.start("apollo", f"hello {number}") for number in range(SHELLS)]
    answers = [shell.communicate(timeout=SECONDS)[0].decode() for shell in shells]
    assert [shell.returncode for shell in shells] == [0] * SHELLS
    assert all(f"hello {number}" in answer for number, answer in enumerate(answers))
    assert hubs_of(machine.folder) == [machine.hub_pid()]


def test_state_and_socket_are_the_owners_alone(machine: Machine) -> None:
    machine.run("list", **OFFLINE)
    modes = {name: (machine.folder / name).stat().st_mode for name in ("", "hub.sock", "hub.log")}
    assert {name: stat.S_IMODE(mode) for name, mode in modes.items()} == {
        "": 0o700,
        "hub.sock": 0o600,
        "hub.log": 0o600,
    }


def test_a_home_whose_path_is_too_long_for_a_socket(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    home = tmp_path / ("long" * 30)
    far = {"RHETOR_HOME": str(home), "XDG_RUNTIME_DIR": str(tmp_path / "run"), **OFFLINE}
    try:
        assert machine.run("apollo", "hi", **far).returncode == 0
        status = json.loads(machine.run("status", "--json", **far).stdout)
        assert f"unix:{tmp_path}/run/rhetor-" in status["sockets"][0]
    finally:
        assert machine.run("shutdown", **far).stdout == "The hub has ended\n"
    assert hubs_of(home) == []


def test_status_list_and_shutdown(machine: Machine) -> None:
    assert machine.run("status").returncode == 5
    listed = json.loads(machine.run("list", "type", "greek", "json", **OFFLINE).stdout)
    assert "apollo" in {peer["name"] for peer in listed}
    assert machine.status()["pid"] == machine.hub_pid()
    assert machine.run("shutdown").stdout == "The hub has ended\n"
    assert machine.run("shutdown").stdout == "No hub is running\n"
    assert machine.run("status").returncode == 5


def test_a_configuration_that_does_not_hold_is_told_by_the_first_shell(machine: Machine) -> None:
    machine.folder.mkdir(mode=0o700)
    (machine.folder / "config.yaml").write_text("hub: {prot: 1}\n")
    ran = machine.run("apollo", "hi")
    assert (ran.returncode, ran.stdout) == (5, "")
    assert "the hub did not start" in ran.stderr and "prot" in ran.stderr


def test_doctor_finds_nothing_wrong_with_a_hub_that_runs(machine: Machine) -> None:
    machine.run("list", **OFFLINE)
    ran = machine.run("doctor")
    assert (ran.returncode, "✗" in ran.stdout) == (0, False)


# -- talking ----------------------------------------------------------------------------------------------


def test_a_unix_pipe_of_peers(machine: Machine, model: ProviderProcess) -> None:
    model.script(Script(chunks=("a design",)), Script(chunks=("a ", "review")))
    first = machine.run("athena", "design", stdin="a cache\n")
    second = machine.run("apollo", stdin=first.stdout)
    assert (second.returncode, second.stdout) == (0, "a review\n")
    assert prompts(model) == ["design\n\na cache", "a design"]


def test_an_answer_streams_through_the_hub(machine: Machine, model: ProviderProcess) -> None:
    model.script(Script(chunks=("first ", "second"), hold={1: "seen"}))
    shell = machine.start("apollo", "hi")
    assert shell.stdout is not None
    assert os.read(shell.stdout.fileno(), 100) == b"first "
    model.release("seen")
    assert shell.communicate(timeout=SECONDS) == (b"second\n", b"")


def test_a_conversation_goes_on_by_its_id(machine: Machine, model: ProviderProcess) -> None:
    first = machine.run("apollo", "one", "-s", "4")
    session = first.stderr.split()[1]
    assert first.stderr == f"Session {session} (go on with --session-id {session})\n"
    machine.run("apollo", "--session-id", session, "two")
    last = [call for call in model.calls() if call["path"].endswith("/completions")][-1]
    said = [(m["role"], m["content"]) for m in last["body"]["messages"] if m["role"] != "system"]
    assert said == [("user", "one"), ("assistant", "ok"), ("user", "two")]


def test_a_conversation_at_its_prompt(machine: Machine, model: ProviderProcess) -> None:
    ran = machine.run("-i", "apollo", stdin="one\ntwo\nexit\nnot sent\n")
    assert (ran.returncode, ran.stdout) == (0, "ok\nok\n")
    assert prompts(model) == ["one", "two"]
    assert len(model.calls()[-1]["body"]["messages"]) > len(model.calls()[0]["body"]["messages"])


def test_json_is_the_numbered_events(machine: Machine, model: ProviderProcess) -> None:
    events = [json.loads(line) for line in machine.run("apollo", "hi", "--json").stdout.splitlines()]
    assert [event["seq"] for event in events] == list(range(events[0]["seq"], events[0]["seq"] + len(events)))
    assert events[-1]["type"] == "turn.completed" and events[-1]["data"]["text"] == "ok"


def test_a_timeout_ends_the_turn(machine: Machine, model: ProviderProcess) -> None:
    model.script(Script(chunks=("well", "never"), hold={1: "shut"}))
    ran = machine.run("apollo", "hi", "--timeout", "0.5")
    assert (ran.returncode, ran.stdout, ran.stderr) == (124, "well\n", "aish: no answer in time\n")
    assert machine.status()["running"] == 0


@pytest.mark.parametrize("line", ["apollo hi", "echo hi | athena | apollo"])
def test_ctrl_c_ends_what_runs_in_the_hub(machine: Machine, model: ProviderProcess, line: str) -> None:
    for _ in range(line.count("athena")):
        model.script(Script(chunks=("design",)))
    model.script(Script(chunks=("well", "never"), hold={1: "shut"}))
    shell = machine.start("-c", line)
    assert shell.stdout is not None
    assert os.read(shell.stdout.fileno(), 100) == b"well"
    shell.send_signal(signal.SIGINT)
    assert shell.communicate(timeout=SECONDS) == (b"\n", b"")
    assert (shell.returncode, machine.status()["running"]) == (130, 0)


# -- lines ------------------------------------------------------------------------------------------------


def test_a_line_of_peers_and_programs(machine: Machine, model: ProviderProcess, tmp_path: Path) -> None:
    model.script(Script(chunks=("one\n", "two\n")), Script(chunks=("END",)))
    out = tmp_path / "out"
    ran = machine.run("-c", f"printf 'b\\na\\n' | sort | athena 'list it' | grep two | apollo > {out}")
    assert (ran.returncode, ran.stdout, ran.stderr, out.read_text()) == (0, "", "", "END\n")
    assert prompts(model) == ["list it\n\na\nb", "two"]


def test_a_group_and_who_comes_after_it(machine: Machine, model: ProviderProcess) -> None:
    ran = machine.run("-c", "echo go | {apollo|athena} | prometheus 'which is better?'")
    assert (ran.returncode, ran.stdout) == (0, "ok\n")
    *both, last = prompts(model)
    assert both == ["go", "go"]
    assert last.endswith("which is better?") and "[From Apollo]" in last and "[From Athena]" in last


def test_an_answer_is_placed_where_the_text_names_its_step(machine: Machine, model: ProviderProcess) -> None:
    model.script(Script(chunks=("a cache",)))
    machine.run("-c", "athena design | apollo 'before {{athena}} after'")
    last = prompts(model)[-1]
    assert last.startswith("before [From Athena]") and last.endswith("after") and "a cache" in last


@pytest.mark.parametrize("words", [("apollo,athena", "hi"), ("-c", "apollo, athena << hi")])
def test_a_broadcast(machine: Machine, model: ProviderProcess, words: tuple[str, ...]) -> None:
    ran = machine.run(*words)
    assert ran.returncode == 0
    assert sorted(ran.stdout.split("\n\n")) == ["[From Apollo]\nok", "[From Athena]\nok\n"] or sorted(
        ran.stdout.split("\n\n")
    ) == ["[From Apollo]\nok\n", "[From Athena]\nok"]


def test_team_chat_is_answered_by_every_specialist(machine: Machine, model: ProviderProcess) -> None:
    specialists = json.loads(machine.run("list", "type", "greek", "json").stdout)
    ran = machine.run("team-chat", "hi")
    assert (ran.returncode, ran.stdout.count("[From ")) == (0, len(specialists))


def test_a_capability_finds_its_peer(machine: Machine, model: ProviderProcess) -> None:
    ran = machine.run("@code-analysis", "hi")
    routed = "Routing to apollo (best match for code-analysis, 0.95)\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "ok\n", routed)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("nobody", "hi"), 3, "Error: Unknown CI or command: nobody\n"),
        (("apollo,nobody", "hi"), 3, "Error: Unknown CI or command: nobody\n"),
        (("-c", "echo hi | apollo | nobody"), 3, "Error: Unknown CI or command: nobody\n"),
        (("@poetry", "hi"), 3, "No AI found for capability: poetry\n"),
        (("team:nobody", "hi"), 3, "aish: no team is called 'nobody'\n"),
        (("apollo",), 2, "aish: no message for apollo: say something or pipe something in\n"),
        (("-c", "false | apollo"), 1, "aish: false: exit status 1\n"),
        (("apollo", "--session-id", "s_none", "hi"), 1, "aish: there is no session 's_none'\n"),
    ],
)
def test_how_a_line_fails(machine: Machine, words: tuple[str, ...], code: int, says: str) -> None:
    ran = machine.run(*words, **OFFLINE)
    assert (ran.returncode, ran.stdout, ran.stderr) == (code, "", says)


def test_a_message_larger_than_the_hub_takes(machine: Machine) -> None:
    ran = machine.run("apollo", stdin="x" * 2_000_000, **OFFLINE)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "larger than 1048576 bytes" in ran.stderr
