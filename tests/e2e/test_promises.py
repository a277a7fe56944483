"""What the reference of the shell promises, with the installed `aish` and a hub that the tests share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.aish.pseudo_terminal import at_terminal
from tests.aish.scripted import Shell
from tests.e2e.home import SECONDS, Machine
from tests.needs import needs

pytestmark = pytest.mark.long
PYTHON = (sys.executable, "-I", "-S", "-c")
# shows the code of the last character of its input, and ends the answer with that character
REPEATS = """
import os
while piece := os.read(0, 4096):
    os.write(1, b"%d%c" % (piece[-1], piece[-1]))
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("promises")
    made = Machine(folder / "home")
    made.folder.mkdir(mode=0o700)
    (made.folder / "config.yaml").write_text(f"teams: {{red: [apollo]}}\nprojects: {{roots: ['{folder}']}}\n")
    made.environment |= {"RHETOR_MODELS__DEFAULT": "offline", "RHETOR_HUB__PORT": "0"}
    made.run("apollo", "so that what is said once has been said")
    yield made
    made.leave()


def said(machine: Machine, *words: str, stdin: str | None = None) -> str:
    """Run `aish`, which must succeed; return what it prints."""
    ran = machine.run(*words, stdin=stdin)
    assert ran.returncode == 0, (words, ran)
    return ran.stdout


def in_bash(machine: Machine, line: str) -> subprocess.CompletedProcess[str]:
    path = f"{machine.bin}:{machine.environment['PATH']}"
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        env={**machine.environment, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_a_script_with_an_interpreter_line_is_a_program_with_arguments(
    machine: Machine, tmp_path: Path
) -> None:
    script = tmp_path / "review"
    script.write_text('#!/usr/bin/env aish\n# a comment\necho $1\napollo "two" | head -c 6\n')
    script.chmod(0o755)
    ran = in_bash(machine, f"{script} one </dev/null")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "one\nApollo", "")


def test_a_program_in_a_named_shell_sees_its_name(machine: Machine) -> None:
    assert said(machine, "--name", "jill", "-c", "printenv AISH_NAME") == "jill\n"


def test_from_another_shell_no_program_is_run_and_a_failure_is_not_passed_on(machine: Machine) -> None:
    ran = machine.run("ls", "/")
    assert (ran.returncode, ran.stdout, ran.stderr.splitlines()[0]) == (
        3,
        "",
        "Error: Unknown CI or command: ls",
    )
    ran = in_bash(machine, "aish nobody hi | aish apollo")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "no message for apollo" in ran.stderr
    assert in_bash(machine, "aish nobody hi | cat").returncode == 3


def test_what_is_quoted_is_text(machine: Machine, tmp_path: Path) -> None:
    ran = machine.run("-c", "apollo 'a > b | athena << c'; apollo \"d && e > f\"", cwd=tmp_path)
    assert (ran.returncode, ran.stderr, list(tmp_path.iterdir())) == (0, "", [])
    assert "“a > b | athena << c”" in ran.stdout and "“d && e > f”" in ran.stdout


def test_each_kind_of_peer_is_listed_with_its_place(machine: Machine) -> None:
    folder = machine.folder.parent / "site"
    folder.mkdir()
    said(machine, "project", "create", "site", str(folder))
    said(machine, "ci-terminal", "-n", "window", "--detach", "--", "cat")
    said(machine, "ci-tool", "-n", "pipe", "--", "cat")
    said(machine, "forward", "pipe", "telos")
    shell = Shell(machine.folder, folder)
    shell.environment = dict(machine.environment)
    with at_terminal(shell, "--name", "jill") as terminal:
        terminal.wait_for("aish> ")
        listed = {
            kind: {each["name"]: each for each in json.loads(said(machine, "list", "type", kind, "json"))}
            for kind in ("greek", "terminal", "project", "tool", "team")
        }
        terminal.type("exit\n")
        assert terminal.wait_for_end() == 0
    assert {kind: sorted(peers) for kind, peers in listed.items() if kind not in ("greek", "tool")} == {
        "terminal": ["jill", "window"],
        "project": ["project:site"],
        "team": ["team:red"],
    }
    agents = {"claude-code", "codex", "continue", "copilot", "cursor", "gemini", "goose", "opencode"}
    assert set(listed["tool"]) == agents | {"pipe"}
    assert "apollo" in listed["greek"] and len(listed["greek"]) == 16
    assert listed["greek"]["apollo"]["model"] == "offline"
    assert is_running(listed["terminal"]["window"]["pid"])
    assert (listed["tool"]["pipe"]["status"], listed["tool"]["pipe"]["forwards"]) == ("idle", ["telos"])
    keys = {"name", "type", "description", "status", "port", "pid", "capabilities", "sessions", "forwards"}
    assert all(keys <= set(peer) for peers in listed.values() for peer in peers.values())
    everything = said(machine, "list")
    assert str(folder) in everything and f"pid {listed['tool']['pipe']['pid']}" in everything
    said(machine, "unforward", "pipe")
    for name in ("window", "pipe"):
        said(machine, "tools", "terminate", name)


def test_an_answer_without_a_log_is_rejected_with_the_reason(machine: Machine) -> None:
    for words in (("apollo", "--no-log", "hi"), ("-c", "apollo hi --no-log")):
        ran = machine.run(*words)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert "everything is in the log" in ran.stderr


def test_the_delimiter_is_that_of_the_message_then_of_the_peer_then_of_the_kind(machine: Machine) -> None:
    said(machine, "ci-tool", "-n", "semi", "-d", ";", "--", *PYTHON, REPEATS)
    said(machine, "ci-tool", "-n", "plain", "--", *PYTHON, REPEATS)
    for words, shown in (
        (("plain", "one", "-x"), "10"),
        (("semi", "one", "-x"), "59"),
        (("semi", "-x=\\t", "one"), "9"),
        (("semi", "one", "-d", "\\t"), "9"),
        (("semi", "one", "-x", "\\x09"), "9"),
        (("-c", "semi -d ':' one"), "58"),
    ):
        assert said(machine, *words) == f"{shown}\n", words


def test_text_is_typed_into_a_program_and_run_only_with_x(machine: Machine) -> None:
    said(machine, "ci-terminal", "-n", "box", "--detach", "--", "bash", "--norc")
    typed = "typed, not run (add -x)\n"
    ran = machine.run("box", "echo one")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", typed)
    ran = machine.run("box", "echo two")  # which never joins the text before it
    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr.endswith(typed) and "'echo one'" in ran.stderr
    assert said(machine, "box", "", "-x") == "two\n"
    assert said(machine, "-c", "echo 'echo three' | box") == "three\n"  # in a pipeline, it is run

    with machine.start("box", "-x", "sleep 60; echo slept") as shell:
        deadline = time.monotonic() + SECONDS
        while "status    busy" not in said(machine, "explain", "box"):
            assert time.monotonic() < deadline
        ran = machine.run("box", "-x", "echo four", "--if-idle")
        assert (ran.returncode, ran.stdout, "box is busy" in ran.stderr) == (1, "", True)
        ran = machine.run("box", "-x", "echo five", "--queue", "--timeout", "0.5")
        assert (ran.returncode, ran.stdout) == (124, "")
        assert said(machine, "box", "-x", "echo six", "--interrupt") == "six\n"
        assert shell.wait(SECONDS) == 1
    assert machine.run("tools", "terminate", "box").returncode == 0


# the hub cannot know when it has answered: it reads in one thread, and does something else in another
READS_IN_A_THREAD = """
import sys, threading, time
threading.Thread(target=lambda: [print("got", line, end="", flush=True) for line in sys.stdin]).start()
time.sleep(1000)
"""


def test_an_answer_that_ended_by_silence_exits_with_6_and_a_screen_with_0(
    machine: Machine, tmp_path: Path
) -> None:
    said(machine, "ci-terminal", "-n", "mum", "--detach", "--", *PYTHON, READS_IN_A_THREAD)
    fell_silent = "mum fell silent; nothing else shows that its answer is complete\n"
    for words in (("mum", "hi", "-x"), ("-c", "mum hi | cat"), ("--quiet", "mum", "hi", "-x")):
        ran = machine.run(*words)
        assert (ran.returncode, ran.stdout, ran.stderr) == (6, "got hi\n", fell_silent), words
    options = ("-n", "asks", "--prompt", "next> $", "--detach", "--", *PYTHON)
    said(machine, "ci-terminal", *options, READS_IN_A_THREAD.replace("line, end", "line, 'next> ', end"))
    assert said(machine, "asks", "hi", "-x") == "got hi\n"  # its prompt shows that it has answered
    both = machine.run("mum,apollo", "hi", "-x")
    assert (both.returncode, "[From Mum]\ngot hi\n" in both.stdout, both.stderr) == (6, True, fell_silent)
    (tmp_path / "words").write_text("alpha\n" * 60 + "bravo\n" + "charlie\n" * 60)
    said(machine, "ci-terminal", "-n", "page", "--detach", "--", needs("less"), str(tmp_path / "words"))
    found = machine.run("page", "/bravo", "-x")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith("bravo\ncharlie\n")
    last = json.loads(said(machine, "page", "/charlie", "--json", "-x").splitlines()[-1])
    assert (last["type"], last["data"]["finish_reason"]) == ("turn.completed", "screen")
    for name in ("mum", "asks", "page"):
        said(machine, "tools", "terminate", name)


def test_a_program_ends_with_the_hub_or_survives_it_as_chosen(machine: Machine) -> None:
    pids = {}
    for name in ("survive", "reap"):
        said(machine, "ci-tool", "-n", f"on-{name}", "--on-exit", name, "--", "cat")
        pids[name] = json.loads(said(machine, "explain", f"on-{name}", "--json"))["pid"]
    assert said(machine, "shutdown") == "Stopped the hub\n"
    deadline = time.monotonic() + SECONDS
    while is_running(pids["reap"]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert is_running(pids["survive"])
    assert said(machine, "on-survive", "hello", "-x") == "hello\n"
    assert machine.run("tools", "terminate", "on-survive").returncode == 0


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_no_peer_has_the_name_of_a_command_or_of_a_person(machine: Machine) -> None:
    for name in ("list", "team-chat", "root", "you", "user", "LIST", "You"):
        ran = machine.run("ci-tool", "-n", name, "--", "cat")
        assert (ran.returncode in (1, 2), ran.stdout, name in ran.stderr) == (True, "", True), ran


def test_messages_wait_in_three_trays_in_the_order_in_which_they_were_sent(machine: Machine) -> None:
    assert said(machine, "inbox") == "prompt:0  new:0  keep:0\n"
    ids = [said(machine, "inbox", "send", "metis", f"note {n}").strip() for n in range(4)]
    assert all(len(id) == 8 and int(id, 16) >= 0 for id in ids)
    found = json.loads(said(machine, "inbox", "json", "--peer", "metis"))
    assert [each["id"] for each in found] == ids
    assert list(found[0]) == ["id", "from", "to", "timestamp", "purpose", "message"]
    said(machine, "inbox", "send", "metis", "keep", "kept")
    assert said(machine, "inbox", "count", "keep", "--peer", "metis") == "1\n"
    assert said(machine, "inbox", "get", "--peer", "metis") == "note 0\n"
    assert "note 1" in said(machine, "inbox", "show", "--peer", "metis")
    assert said(machine, "inbox", "clear", "--peer", "metis") == "✓ Removed 3 from new\n"
    assert said(machine, "inbox", "count", "--peer", "metis") == "0\n"
    wrong = machine.run("inbox", "show", "bogus")
    assert wrong.stderr == "Error: Invalid inbox type 'bogus'. Must be: prompt, new, keep\n"


def test_an_alias_is_created_run_shown_and_deleted_and_calls_no_alias(machine: Machine) -> None:
    assert said(machine, "alias", "create", "loud", "tr a-z A-Z", "in capitals") == "Created alias 'loud'\n"
    assert said(machine, "loud", stdin="abc\n") == "ABC\n"
    assert said(machine, "-c", "echo abc | loud") == "ABC\n"
    said(machine, "alias", "create", "repeat", "printf '<%s>' $1 $* \"$@\"")
    assert "<a b>" in said(machine, "repeat", "a b", "c")
    nested = machine.run("alias", "create", "louder", "echo x | loud")
    assert (nested.returncode, "alias" in nested.stderr) == (2, True)
    assert "in capitals" in said(machine, "alias", "list")
    assert "tr a-z A-Z" in said(machine, "alias", "show", "loud")
    assert {each["name"] for each in json.loads(said(machine, "alias", "list", "json"))} == {"loud", "repeat"}
    said(machine, "alias", "delete", "loud")
    said(machine, "alias", "delete", "repeat")
    assert machine.run("loud", stdin="abc").returncode == 3


def test_a_hop_of_a_route_is_a_peer_a_capability_a_team_or_a_route(machine: Machine) -> None:
    assert said(machine, "route", "list") == "No routes defined\n"
    assert said(machine, "forward", "list") == "No forwards defined\n"
    assert said(machine, "route", "name", "inner", "apollo", "athena") == (
        "Route 'inner' created: apollo → athena\n"
    )
    said(machine, "route", "name", "outer", "@debugging", "route:inner", "team:all")
    assert said(machine, "route", "show", "outer").startswith("Route 'outer': @debugging → route:inner → ")
    events = [json.loads(line) for line in said(machine, "route", "outer", "go", "--json").splitlines()]
    peers = [event["data"]["peer"] for event in events if event["type"] == "step.started"]
    assert peers[1:3] == ["apollo", "athena"] and len(peers) > 10
    for name in ("outer", "inner"):
        said(machine, "route", "remove", name)


def test_context_is_sent_once_before_the_next_message(machine: Machine) -> None:
    said(machine, "context", "stage", "sophia", "we use Postgres")
    assert '"we use Postgres"' in said(machine, "context", "show", "sophia", "json")
    said(machine, "context", "promote", "sophia")
    said(machine, "purpose", "sophia", "reviews")
    assert {"name": "sophia", "purpose": "reviews"} in json.loads(said(machine, "purpose", "json"))
    first, second = (said(machine, "sophia", "hi", "--json") for _ in range(2))
    assert ("we use Postgres" in first, "we use Postgres" in second) == (True, False)
    assert "context.injected" in first
    said(machine, "purpose", "sophia", "")
    assert "context.injected" not in said(machine, "sophia", "hi", "--json")


def test_a_conversation_is_saved_resumed_and_found_by_its_name(machine: Machine, tmp_path: Path) -> None:
    said(machine, "session", "create", "design", "--tool", "telos")
    assert said(machine, "session", "resume", "telos", "design").startswith("✓ Resumed design")
    assert "telos" in said(machine, "telos", "a needle", "-s", "design").lower()
    assert "telos" in said(machine, "telos", "another", "-s=design").lower()
    ran = machine.run("telos", "by id", "-s", "3")
    session = ran.stderr.split()[1]
    said(machine, "session", "save", "kept", session, "--tool", "telos")
    listed = said(machine, "sessions", "list", "--tool", "telos").splitlines()
    assert [line.split()[0] for line in listed] == ["NAME", "kept", "design"]
    assert listed[2].split()[-2:] == ["a", "needle"] and "by id" in listed[1]
    assert "by id" in said(machine, "sessions", "show", session)
    again = machine.run("telos", "-C", "and now?")
    assert (again.returncode, again.stderr.startswith("> by id\n")) == (0, True)
    rows = json.loads(said(machine, "history", "--session", "design", "--peer", "telos", "json"))
    assert [row["message"] for row in rows] == ["a needle", "another"]
    assert "a needle" in said(machine, "search", "needle", "--session", "design")
    assert said(machine, "history", "--since", "1m", "--model", "nobody/x") == "No messages yet\n"
    assert said(machine, "session", "delete", "kept").startswith("✓ Deleted kept")
    assert "kept" not in said(machine, "sessions", "list", "--tool", "telos")
    assert "kept" in said(machine, "sessions", "list", "--tool", "telos", "--all")


@pytest.mark.parametrize(
    "agent", ["claude-code", "codex", "gemini", "opencode", "copilot", "continue", "cursor"]
)
def test_the_hub_is_added_to_an_agent_and_what_is_written_is_shown(
    machine: Machine, agent: str, tmp_path: Path
) -> None:
    folders = ("XDG_CONFIG_HOME", "CODEX_HOME", "CLAUDE_CONFIG_DIR", "COPILOT_HOME")
    variables = {"HOME": str(tmp_path), **dict.fromkeys(folders, "")}
    ran = machine.run("mcp", "install", agent, variables=variables)
    assert ran.returncode == 0, ran.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 1 and str(written[0]) in ran.stdout and "rhetor" in ran.stdout
    assert "rhetor" in written[0].read_text()
    assert machine.run("mcp", "uninstall", agent, variables=variables).returncode == 0
    assert "rhetor" not in written[0].read_text()


def test_no_command_shows_a_traceback_and_every_peer_has_help(machine: Machine) -> None:
    shown = said(machine, "apollo", "--help")
    assert shown.startswith('usage: aish apollo ["message"] [options]') and "--if-idle" in shown
    assert said(machine, "--version").startswith("aish ")
    closed = subprocess.run(
        [machine.bin / "aish", "list"],
        env=machine.environment,
        stdout=os.open("/dev/full", os.O_WRONLY),
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (closed.returncode, b"Traceback" in closed.stderr) == (1, False)


def capable(score: float) -> str:
    """Return a program that says what it is capable of, and repeats what it is sent."""
    return f"""
import json, sys
for line in sys.stdin:
    said = json.loads(line)
    answer = {{"type": "response", "content": said.get("content", "")}}
    if said["type"] == "capability_query":
        answer = {{"capabilities": {{"weaving": {score}}}}}
    if said["type"] in ("capability_query", "command"):
        print(json.dumps(answer), flush=True)
"""


def test_a_peer_is_chosen_for_a_capability_of_at_least_one_half(machine: Machine) -> None:
    options = ("--json-protocol", "--", *PYTHON)
    said(machine, "ci-tool", "-n", "weak-weaver", *options, capable(0.49))
    ran = machine.run("@weaving", "a cloth")
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr.splitlines()[0] == "No AI found for capability: weaving"
    said(machine, "ci-tool", "-n", "good-weaver", *options, capable(0.5))
    ran = machine.run("@weaving", "a cloth")
    assert (ran.returncode, ran.stdout) == (0, "a cloth\n")
    assert ran.stderr == "Routing to good-weaver (best match for weaving, 0.50)\n"


def test_a_program_runs_the_answers_that_are_forwarded_to_it_with_x(machine: Machine) -> None:
    said(machine, "ci-tool", "-n", "ran", "--", *PYTHON, REPEATS)
    said(machine, "forward", "noesis", "ran", "-x")
    said(machine, "noesis", "go")
    deadline = time.monotonic() + SECONDS
    while "\n  10\n" not in said(machine, "history", "--peer", "ran"):  # the code of Enter
        assert time.monotonic() < deadline
    assert said(machine, "unforward", "noesis") == "✓ Stopped forwarding noesis (was going to ran)\n"


def test_overlapping_runs_of_a_schedule_are_skipped_or_queued_as_chosen(machine: Machine) -> None:
    waits = "import sys, time\nfor line in sys.stdin: time.sleep(1.5); print('done', flush=True)"
    said(machine, "ci-tool", "-n", "waits", "--", *PYTHON, waits)
    for overlap, code in (("skip", 1), ("queue", 0)):
        said(machine, "schedule", "add", overlap, "@yearly", "--overlap", overlap, "waits 'go' -x")
        with machine.start("schedule", "run", overlap) as first:
            deadline = time.monotonic() + SECONDS
            while not json.loads(said(machine, "schedule", "show", overlap, "--json"))["last_run"]:
                assert time.monotonic() < deadline
            assert machine.run("schedule", "run", overlap).returncode == code
            assert first.wait(SECONDS) == 0
        said(machine, "schedule", "remove", overlap)


def test_a_session_whose_program_has_ended_is_not_active(machine: Machine) -> None:
    said(machine, "ci-tool", "-n", "brief", "--", "cat")
    assert said(machine, "brief", "hello", "-x") == "hello\n"
    assert "hello" in said(machine, "sessions", "list", "--tool", "brief")
    said(machine, "tools", "terminate", "brief")
    assert "hello" not in said(machine, "sessions", "list")
    (ended,) = [line for line in said(machine, "sessions", "list", "--all").splitlines() if " brief " in line]
    assert "active" not in ended


def test_times_are_local_in_text_and_have_a_zone_in_json(machine: Machine) -> None:
    said(machine, "session", "create", "my talk", "--tool", "engram")
    said(machine, "engram", "hello", "-s=my talk")  # a name with a blank
    shown = json.loads(said(machine, "sessions", "show", "my talk", "--json"))
    at = datetime.fromisoformat(shown["messages"][0]["timestamp"])
    assert at.tzinfo is not None
    for zone, hours in (("UTC", 0), ("Asia/Tokyo", 9)):
        ran = machine.run("sessions", "show", "my talk", variables={"TZ": zone})
        assert f"## You · {at + timedelta(hours=hours):%Y-%m-%d %H:%M:%S}" in ran.stdout
