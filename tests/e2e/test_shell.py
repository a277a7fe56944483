"""The shell and the hub together: starting, sessions, groups, Ctrl-C, and how a line ends."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.home import SECONDS, Machine
from tests.provider.process import ProviderProcess
from tests.provider.script import Script, Usage

SHELLS = 10


@pytest.fixture
def offline(machine: Machine) -> Machine:
    """A machine with the embedded model, whatever model servers run on the test machine."""
    machine.environment["RHETOR_MODELS__DEFAULT"] = "offline"
    return machine


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, provider: ProviderProcess) -> Iterator[Machine]:
    """A machine with a running hub and a model, shared by tests that do not change it."""
    made = Machine(tmp_path_factory.mktemp("served") / "home")
    made.environment |= {
        "OPENAI_BASE_URL": f"{provider.url}/v1",
        "OPENAI_API_KEY": "k",
        "RHETOR_MODEL": "m1",
    }
    made.run("list")
    yield made
    made.leave()


@pytest.fixture
def model(provider: ProviderProcess) -> ProviderProcess:
    """The model of the served machine: it answers with the test's scripts, then with `ok`."""
    provider.forget()
    provider.script(default=Script(chunks=("ok",)))
    return provider


def prompts(provider: ProviderProcess) -> list[str]:
    """Return the last message of each call of the model, in order."""
    asked = [call for call in provider.calls() if call["path"].endswith("/completions")]
    return [call["body"]["messages"][-1]["content"] for call in asked]


def hubs_of(home: Path) -> list[int]:
    """Return the pids of the hubs that serve this home."""
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


def test_shells_started_at_once_start_one_hub(offline: Machine) -> None:
    shells = [offline.start("apollo", f"hello {number}") for number in range(SHELLS)]
    answers = [shell.communicate(timeout=SECONDS)[0].decode() for shell in shells]
    assert [shell.returncode for shell in shells] == [0] * SHELLS
    assert all(f"hello {number}" in answer for number, answer in enumerate(answers))
    assert hubs_of(offline.folder) == [offline.hub_pid()]


def test_only_the_owner_can_access_the_state_folder_and_the_socket(offline: Machine) -> None:
    offline.run("list")
    modes = {name: (offline.folder / name).stat().st_mode for name in ("", "hub.sock", "hub.log")}
    assert {name: stat.S_IMODE(mode) for name, mode in modes.items()} == {
        "": 0o700,
        "hub.sock": 0o600,
        "hub.log": 0o600,
    }


def test_a_home_whose_path_is_too_long_for_a_socket_uses_the_runtime_folder(tmp_path: Path) -> None:
    far = Machine(tmp_path / ("long" * 30))
    far.environment |= {"XDG_RUNTIME_DIR": str(tmp_path), "RHETOR_MODELS__DEFAULT": "offline"}
    try:
        assert far.run("apollo", "hi").returncode == 0
        assert f"unix:{tmp_path}/rhetor-" in far.status()["sockets"][0]
    finally:
        assert far.run("shutdown").stdout == "Stopped the hub\n"
    assert hubs_of(far.folder) == []


def test_status_and_list_show_the_hub_and_shutdown_stops_it(offline: Machine) -> None:
    assert offline.run("status").returncode == 5
    listed = json.loads(offline.run("list", "type", "greek", "json").stdout)
    assert "apollo" in {peer["name"] for peer in listed}
    assert offline.status()["pid"] == offline.hub_pid()
    assert offline.run("shutdown").stdout == "Stopped the hub\n"
    assert hubs_of(offline.folder) == []
    assert offline.run("shutdown").stdout == "No hub is running\n"
    assert offline.run("status").returncode == 5


def test_the_first_shell_reports_an_invalid_configuration(machine: Machine) -> None:
    machine.folder.mkdir(mode=0o700)
    (machine.folder / "config.yaml").write_text("hub: {prot: 1}\n")
    ran = machine.run("apollo", "hi")
    assert (ran.returncode, ran.stdout) == (5, "")
    assert "the hub did not start" in ran.stderr and "prot" in ran.stderr


def test_doctor_finds_nothing_wrong_with_a_running_hub(offline: Machine) -> None:
    offline.run("list")
    ran = offline.run("doctor")
    assert (ran.returncode, "✗" in ran.stdout) == (0, False)


def test_doctor_checks_agents_without_a_hub(machine: Machine, tmp_path: Path) -> None:
    program = tmp_path / "claude"
    program.write_text("#!/bin/sh\necho a warning\necho 9.8.7\n")
    program.chmod(0o755)
    variables = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "CLAUDE_CODE_OAUTH_TOKEN": "t"}
    ran = machine.run("doctor", variables=variables)
    assert "– variables   none set\n" in ran.stdout  # the agent answers
    login = "logged in: yes (CLAUDE_CODE_OAUTH_TOKEN is set)"
    assert f"✓ claude-code 9.8.7; {program}; {login}\n" in ran.stdout
    assert "– codex       not installed; install it with: npm install -g @openai/codex\n" in ran.stdout
    assert (ran.returncode, machine.folder.exists()) == (0, False)


def test_doctor_names_the_line_of_an_invalid_setting(machine: Machine) -> None:
    machine.folder.mkdir(mode=0o700)
    (machine.folder / "config.yaml").write_text("hub: {prot: 1}\n")
    ran = machine.run("doctor")
    assert ran.returncode == 1
    assert "✗ agents     " in ran.stdout and "line 1: hub.prot: there is no such setting" in ran.stdout


# -- messages ---------------------------------------------------------------------------------------------


def test_peers_can_be_joined_by_a_unix_pipe(served: Machine, model: ProviderProcess) -> None:
    model.script(Script(chunks=("a design",)), Script(chunks=("a ", "review")))
    first = served.run("athena", "design", stdin="a cache\n")
    second = served.run("apollo", stdin=first.stdout)
    assert (second.returncode, second.stdout) == (0, "a review\n")
    assert prompts(model) == ["design\n\na cache", "a design"]


def test_an_answer_streams_through_the_hub(served: Machine, model: ProviderProcess) -> None:
    model.script(Script(chunks=("first ", "second"), hold={1: "seen"}))
    shell = served.start("apollo", "hi")
    assert shell.stdout is not None
    assert os.read(shell.stdout.fileno(), 100) == b"first "
    model.release("seen")
    assert shell.communicate(timeout=SECONDS) == (b"second\n", b"")


def test_a_conversation_continues_by_its_id(served: Machine, model: ProviderProcess) -> None:
    first = served.run("apollo", "one", "-s", "4")
    session = first.stderr.split()[1]
    assert first.stderr == f"Session {session} (continue it with --session-id {session})\n"
    served.run("apollo", "--session-id", session, "two")
    last = [call for call in model.calls() if call["path"].endswith("/completions")][-1]
    said = [(m["role"], m["content"]) for m in last["body"]["messages"] if m["role"] != "system"]
    assert said == [("user", "one"), ("assistant", "ok"), ("user", "two")]


def test_a_conversation_reads_messages_from_stdin_until_exit(served: Machine, model: ProviderProcess) -> None:
    ran = served.run("-i", "apollo", stdin="one\ntwo\nexit\nnot sent\n")
    assert (ran.returncode, ran.stdout) == (0, "ok\nok\n")
    assert prompts(model) == ["one", "two"]
    assert len(model.calls()[-1]["body"]["messages"]) > len(model.calls()[0]["body"]["messages"])


def test_json_prints_the_numbered_events(served: Machine, model: ProviderProcess) -> None:
    events = [json.loads(line) for line in served.run("apollo", "hi", "--json").stdout.splitlines()]
    assert [event["seq"] for event in events] == list(range(events[0]["seq"], events[0]["seq"] + len(events)))
    assert events[-1]["type"] == "turn.completed" and events[-1]["data"]["text"] == "ok"


def test_a_timeout_ends_the_turn(served: Machine, model: ProviderProcess) -> None:
    assert served.run("apollo", "hi").stdout == "ok\n"  # the timeout does not include the start of the hub
    model.script(Script(chunks=("well", "never"), hold={1: "shut"}))
    ran = served.run("apollo", "hi", "--timeout", "1.5")
    assert (ran.returncode, ran.stdout, ran.stderr) == (
        124,
        "well\n",
        "aish: the answer of apollo is cut off\naish: timed out waiting for an answer\n",
    )
    assert served.status()["running"] == 0


@pytest.mark.parametrize("line", ["apollo hi", "echo hi | athena | apollo"])
def test_ctrl_c_stops_the_turn_in_the_hub(served: Machine, model: ProviderProcess, line: str) -> None:
    for _ in range(line.count("athena")):
        model.script(Script(chunks=("design",)))
    model.script(Script(chunks=("well", "never"), hold={1: "shut"}))
    shell = served.start("-c", line)
    assert shell.stdout is not None
    assert os.read(shell.stdout.fileno(), 100) == b"well"
    shell.send_signal(signal.SIGINT)
    assert shell.communicate(timeout=SECONDS) == (b"\n", b"")
    deadline = time.monotonic() + SECONDS
    while served.status()["running"]:  # the shell does not wait until the hub has stopped the turn
        assert time.monotonic() < deadline, "the turn was not stopped"
    assert (shell.returncode, served.status()["running"]) == (130, 0)


# -- lines ------------------------------------------------------------------------------------------------


def test_a_line_joins_peers_and_programs(served: Machine, model: ProviderProcess, tmp_path: Path) -> None:
    model.script(Script(chunks=("one\n", "two\n")), Script(chunks=("END",)))
    out = tmp_path / "out"
    ran = served.run("-c", f"printf 'b\\na\\n' | sort | athena 'list it' | grep two | apollo > {out}")
    assert (ran.returncode, ran.stdout, ran.stderr, out.read_text()) == (0, "", "", "END\n")
    assert prompts(model) == ["list it\n\na\nb", "two"]


def test_the_peer_after_a_group_receives_all_answers(served: Machine, model: ProviderProcess) -> None:
    ran = served.run("-c", "echo go | {apollo|athena} | prometheus 'which is better?'")
    assert (ran.returncode, ran.stdout) == (0, "ok\n")
    *both, last = prompts(model)
    assert both == ["go", "go"]
    assert last.endswith("which is better?") and "[From Apollo]" in last and "[From Athena]" in last


def test_an_answer_replaces_the_placeholder_with_its_steps_name(
    served: Machine, model: ProviderProcess
) -> None:
    model.script(Script(chunks=("a cache",)))
    served.run("-c", "athena design | apollo 'before {{athena}} after'")
    last = prompts(model)[-1]
    assert last.startswith("before [From Athena]") and last.endswith("after") and "a cache" in last


@pytest.mark.parametrize("words", [("apollo,athena", "hi"), ("-c", "apollo, athena << hi")])
def test_a_broadcast_is_answered_by_each_peer(
    served: Machine, model: ProviderProcess, words: tuple[str, ...]
) -> None:
    ran = served.run(*words)
    assert ran.returncode == 0
    answers = ran.stdout.removesuffix("\n").split("\n\n")
    assert sorted(answers) == ["[From Apollo]\nok", "[From Athena]\nok"]


def test_team_chat_is_answered_by_every_specialist(served: Machine, model: ProviderProcess) -> None:
    specialists = json.loads(served.run("list", "type", "greek", "json").stdout)
    ran = served.run("team-chat", "hi")
    assert (ran.returncode, ran.stdout.count("[From ")) == (0, len(specialists))


def test_a_capability_is_routed_to_its_best_peer(served: Machine, model: ProviderProcess) -> None:
    ran = served.run("@code-analysis", "hi")
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
        (("apollo",), 2, "aish: no message for apollo; type a text after the name, or pipe one in\n"),
        (("-c", "false | apollo"), 1, "aish: false: exit status 1\n"),
        (
            ("apollo", "--session-id", "s_none", "hi"),
            3,
            "aish: there is no session 's_none'\naish sessions list --all shows those that exist\n",
        ),
        (
            ("alias", "show", "none"),
            3,
            "aish: there is no alias 'none'\naish alias list shows those that exist\n",
        ),
        (
            ("unforward", "apollo"),
            3,
            "aish: there is no forward 'apollo'\naish forward list shows those that exist\n",
        ),
    ],
)
def test_a_failed_line_has_its_exit_code_and_error_message(
    served: Machine, words: tuple[str, ...], code: int, says: str
) -> None:
    ran = served.run(*words)
    assert (ran.returncode, ran.stdout, ran.stderr) == (code, "", says)


def test_a_session_of_another_peer_exits_with_2(served: Machine) -> None:
    served.run("session", "create", "mine", "--tool", "apollo")
    ran = served.run("athena", "-s=mine", "hi")
    says = "aish: session 'mine' belongs to apollo; send to it, or omit the target\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", says)


def test_a_message_over_the_size_limit_is_rejected(served: Machine) -> None:
    ran = served.run("apollo", stdin="x" * 2_000_000)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "larger than 1048576 bytes" in ran.stderr


def test_history_and_search_find_earlier_messages(served: Machine, model: ProviderProcess) -> None:
    model.script(Script(chunks=("A swift ", "answer.")))
    served.run("apollo", "why is a peregrine fast?")
    assert "> why is a peregrine fast?\n  A swift answer.\n" in served.run("history").stdout
    (said,) = json.loads(served.run("history", "1", "json").stdout)
    assert said["message"] == "why is a peregrine fast?"
    found = served.run("search", "peregrine")
    assert (found.returncode, found.stdout.splitlines()[1:]) == (0, ["  why is a peregrine fast?"])
    assert served.run("history", "search", "swift", "answer").stdout.endswith("A swift answer.\n")
    assert served.run("search", "nowhere").returncode == 1
    assert served.run("search").returncode == 2
    assert served.run("history", "0").returncode == 2


def test_an_answer_that_was_cut_short_is_reported_and_fails_if_it_is_empty(
    served: Machine, model: ProviderProcess
) -> None:
    for reason in ("length", "content_filter"):
        model.script(Script(chunks=("half",), finish=reason), Script(finish=reason))
        ran = served.run("apollo", "hi")
        assert (ran.returncode, ran.stdout) == (0, "half\n")
        assert f"may be incomplete: {'the limit' if reason == 'length' else 'a content'}" in ran.stderr
        ran = served.run("apollo", "hi")
        assert (ran.returncode, ran.stdout, "an answer without text" in ran.stderr) == (1, "", True)


def test_usage_is_shown_on_request(served: Machine, model: ProviderProcess) -> None:
    model.script(Script(chunks=("ok",), usage=Usage(120, 45, cached=30)))
    ran = served.run("apollo", "hi", "--usage")
    assert ran.stdout == "ok\n"
    told = r"apollo \(openai/[\w.-]+\): 120 tokens in \(30 cached\), 45 out, cost unknown, \d+\.\d s\n"
    assert re.fullmatch(told, ran.stderr)
    model.script(Script(chunks=("one",)), Script(chunks=("two",)))
    ran = served.run("-c", "apollo hi | athena --usage")
    assert ran.stdout == "two\n"
    assert [line.split(" (")[0] for line in ran.stderr.splitlines()] == ["apollo", "athena"]
