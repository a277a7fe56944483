"""Programs as peers: the requests of the commands, and what they print."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from tests.aish.attachable import Attachable, window
from tests.aish.scripted import Ran, ScriptedHub, Shell, answer, problem

PROGRAMS = "POST /api/v2/programs"
BOX = {"name": "box", "id": "box", "kind": "terminal", "status": "idle", "evidence": "prompt", "pid": 77}
RUNS = "✓ box is running (pid 77)\n"


def test_a_terminal_program_runs_in_this_folder_and_environment(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(PROGRAMS, answer(BOX))
    ran = aish("ci-terminal", "--name", "box", "-d", "\\r\\x1b", "--", "bash", "-i", "--", env={"OWN": "ü"})
    assert ran == Ran(0, RUNS, "")
    (asked,) = hub.bodies(PROGRAMS)
    assert asked.pop("env")["OWN"] == "ü"
    assert asked == {
        "name": "box",
        "kind": "terminal",
        "argv": ["bash", "-i", "--"],
        "cwd": str(aish.folder),
        "rows": 24,
        "cols": 80,
        "delimiter": "\r\x1b",
    }


def test_a_tool_runs_on_pipes(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(PROGRAMS, answer(BOX))
    ran = aish("ci-tool", "-n=box", "--json-protocol", "--on-exit", "reap", "./solve.py", "-n", "3")
    assert ran == Ran(0, RUNS, "")
    (asked,) = hub.bodies(PROGRAMS)
    del asked["env"]
    assert asked == {
        "name": "box",
        "kind": "stdio",
        "argv": ["./solve.py", "-n", "3"],
        "cwd": str(aish.folder),
        "protocol": "aish-json",
        "on_exit": "reap",
    }


@pytest.mark.parametrize(
    "words",
    [
        ["ci-terminal", "-n", "box"],
        ["ci-terminal", "--", "bash"],
        ["ci-terminal", "-n", "box", "--on-exit", "later", "--", "bash"],
        ["ci-terminal", "-n", "box", "--json-protocol", "--", "bash"],
        ["ci-terminal", "-n"],
        ["ci-tool", "-n", "box", "--prompt", "x", "--", "bash"],
        ["tools", "rename"],
        ["tools", "launch"],
        ["tools", "launch", "codex", "--sesion", "x"],
        ["tools", "terminate", "codex", "--json"],
        ["tools", "attach", "codex", "-w"],
        ["tools", "capabilities"],
        ["explain"],
        ["explain", "box", "--json5"],
        ["wait"],
        ["wait", "--some", "box"],
        ["wait", "box", "--timeout", "-1"],
        ["wait", "box", "--timeout", "nan"],
    ],
)
def test_invalid_arguments_show_the_syntax(aish: Shell, words: list[str]) -> None:
    ran = aish(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"aish: usage: aish {words[0]} ")


def test_an_impossible_request_fails_before_it_is_sent(aish: Shell) -> None:
    assert aish("ci-tool", "-n", "wait", "--", "cat") == Ran(
        2, "", "aish: wait is a command of aish; choose another name\n"
    )
    assert aish("ci-tool", "-n", "box", "-d", "\\xg1", "--", "cat") == Ran(
        2, "", "aish: \\x in a delimiter must have two hexadecimal digits\n"
    )


@pytest.mark.parametrize(
    ("refused", "ran"),
    [
        (
            problem(422, "program_missing", "codex is not installed: npm i -g @openai/codex"),
            Ran(1, "", "aish: codex is not installed: npm i -g @openai/codex\n"),
        ),
        (problem(409, "name_taken", "there is a box"), Ran(1, "", "aish: there is a box\n")),
        (problem(422, "malformed", "name: too long"), Ran(2, "", "aish: name: too long\n")),
        (problem(403, "forbidden", "programs start none"), Ran(4, "", "aish: programs start none\n")),
    ],
)
def test_the_hubs_rejection_has_its_exit_code(
    aish: Shell, hub: ScriptedHub, refused: bytes, ran: Ran
) -> None:
    hub.on(PROGRAMS, refused)
    hub.on("POST /api/v2/tools/box/launch", refused)
    assert aish("ci-terminal", "-n", "box", "--detach", "--", "codex") == ran
    assert aish("tools", "launch", "box") == ran


def test_in_a_terminal_the_program_is_attached_at_the_size_of_the_window(
    aish: Shell, hub: ScriptedHub
) -> None:
    hub.on(PROGRAMS, answer(BOX))
    box = Attachable(hub)
    with window(aish, "ci-terminal", "-n", "box", "--prompt", "^> ", "--", "bash", rows=33) as shown:
        view = box.view()
        view.wait_for_size(33, 100)
        shown.wait_until(shown.is_raw)
        shown.press(b"ls\r")
        view.wait(lambda view: view.keys == b"ls\r")
        view.tell("exited", exit_code=0, signal=None)
        assert shown.wait_for_end() == 0
        assert shown.screen.endswith("\nbox exited\n") and "✓" not in shown.screen
    (asked,) = hub.bodies(PROGRAMS)
    assert (asked["rows"], asked["cols"], asked["prompt"]) == (32, 100, "^> ")


def test_detach_does_not_attach_the_program(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(PROGRAMS, answer(BOX))
    with window(aish, "ci-terminal", "-n", "box", "--detach", "--", "bash") as shown:
        assert (shown.wait_for_end(), shown.screen) == (0, RUNS)
    assert "detach" not in hub.bodies(PROGRAMS)[0]


def test_a_background_job_of_a_shell_leaves_the_terminal_alone(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(PROGRAMS, answer(BOX))
    bash = shutil.which("bash")
    assert bash is not None
    line = " ".join(aish.command("ci-terminal", "-n", "box", "--", "cat"))
    command = [bash, "--norc", "--noprofile", "-c", f"set -m; {line} & wait $!; echo ended $?"]
    with window(aish, command=command) as shown:
        assert shown.wait_for_end() == 0
        assert RUNS in shown.screen and shown.screen.endswith("ended 0\n")
        assert not shown.is_raw()


@pytest.mark.parametrize("line", ["ci-terminal -n box -- bash -i &", "ci-terminal -n box -- bash -i&"])
def test_an_ampersand_runs_the_program_in_the_background(aish: Shell, hub: ScriptedHub, line: str) -> None:
    hub.on(PROGRAMS, answer(BOX))
    with window(aish, "-c", line) as shown:
        assert (shown.wait_for_end(), shown.screen) == (0, RUNS)
    assert hub.bodies(PROGRAMS)[0]["argv"] == ["bash", "-i"]


def test_a_program_that_ended_before_attaching_shows_its_last_screen(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(PROGRAMS, answer(BOX))
    hub.on("GET /ws/attach/box?mode=rw", problem(409, "not_running", "box does not run"))
    ended = {**STATUS, "status": "gone", "exit_code": 4, "screen": ["no such file\x1b]0;x\x07", "", ""]}
    hub.on("GET /api/v2/ai/box/status", answer(ended))
    with window(aish, "ci-terminal", "-n", "box", "--", "ls", "nowhere") as shown:
        assert shown.wait_for_end() == 1
        assert shown.screen == "no such file\nbox exited with code 4\n"


STATUS: dict[str, Any] = {
    "name": "box",
    "kind": "terminal",
    "driver": "pty",
    "status": "blocked",
    "evidence": "a dialog is open",
    "since": "2026-01-02T03:04:05.678Z",
    "pid": 77,
    "exit_code": None,
    "signal": None,
    "reasons": ["a dialog is open", "the cursor is hidden", "no output for 3.0 s\x1b[2J"],
    "screen": ["Allow?", "  1. Yes", ""],
    "dialog": {"text": "Allow\nrm -rf?", "options": ["Yes", {"option_id": "n", "name": "No"}]},
    "running": 1,
    "waiting": 2,
}


def test_explain_shows_the_reasons_for_a_status(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/ai/box/status", answer(STATUS))
    explained = (
        "peer      box, terminal (pty)\n"
        "status    blocked since 2026-01-02 03:04:05\n"
        "evidence  a dialog is open\n"
        "reason    the cursor is hidden\n"
        "          no output for 3.0 s\n"
        "dialog    Allow rm -rf?\n"
        "          - Yes\n"
        "          - No\n"
        "pid       77\n"
        "messages  1 running, 2 waiting\n"
    )
    assert aish("explain", "box") == Ran(0, explained, "")
    assert aish("explain", "--screen", "box").out == explained + "\nAllow?\n  1. Yes\n"
    assert json.loads(aish("explain", "box", "--json").out) == STATUS


def test_explain_shows_how_a_program_ended_and_rejects_unknown_peers(aish: Shell, hub: ScriptedHub) -> None:
    gone = {
        **STATUS,
        "status": "gone",
        "pid": None,
        "signal": 9,
        "dialog": None,
        "reasons": [],
        "screen": None,
    }
    hub.on("GET /api/v2/ai/box/status", answer(gone))
    hub.on("GET /api/v2/ai/bax/status", problem(404, "unknown_peer", "no", peer="bax"))
    assert "ended     by signal 9\n" in aish("explain", "box").out
    assert aish("explain", "box", "--screen").out.endswith("\n\nno screen\n")
    assert aish("explain", "bax") == Ran(3, "", "Error: Unknown CI or command: bax\n")


WAIT = "POST /api/v2/wait"


def test_wait_prints_the_idle_peers(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(WAIT, answer({"idle": ["b"], "waiting": ["a"], "timed_out": False}))
    assert aish("wait", "--any", "a", "b") == Ran(0, "b\n", "")
    aish("wait", "--timeout=2.5", "a")
    assert hub.bodies(WAIT) == [
        {"peers": ["a", "b"], "mode": "any"},
        {"peers": ["a"], "mode": "all", "timeout": 2.5},
    ]


def test_wait_times_out_with_124(aish: Shell, hub: ScriptedHub) -> None:
    late, unknown = (
        {"idle": ["a"], "waiting": ["b"], "timed_out": True},
        problem(404, "unknown_peer", "x", peer="b"),
    )
    hub.on(WAIT, answer(late), unknown)
    assert aish("wait", "a", "b", "--timeout", "1") == Ran(124, "a\n", "")
    assert aish("wait", "a", "b") == Ran(3, "", "Error: Unknown CI or command: b\n")


def tool(name: str, **more: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "name": name,
        "display_name": name.title(),
        "description": f"{name} does",
        "driver": "acp",
        "executable": name,
        "installed": True,
        "path": f"/bin/{name}",
        "how_to_install": f"npm i -g {name}",
        "status": "available",
        "evidence": "its program is there",
        "pid": None,
        "capabilities": {"code-generation": 0.9},
        "sessions": [],
    }
    return {**plain, **more}


TOOLS = {
    "tools": [
        tool("codex", status="idle", pid=9, evidence="no turn\x1b[2J"),
        tool("opencode", installed=False, path=None, status="missing"),
    ]
}


def test_tools_lists_tools_and_how_to_install_missing_ones(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/tools", answer(TOOLS))
    assert aish("tools", "list").out == (
        "NAME      STATUS         AT     DESCRIPTION\n"
        "codex     idle           pid 9  codex does\n"
        "opencode  not installed         npm i -g opencode\n"
    )
    assert aish("tools", "status").out.splitlines()[1] == "codex     idle           pid 9  no turn"
    assert json.loads(aish("tools", "list", "--json").out) == TOOLS["tools"]


SESSIONS = [
    {"id": "s_3", "name": None, "state": "active", "started": False},
    {"id": "s_2", "name": "work", "state": "waiting", "started": True},
    {"id": "s_1", "name": "old", "state": "stopped", "started": True},
]


def test_tools_status_shows_the_health_of_a_tool(aish: Shell, hub: ScriptedHub) -> None:
    health = {"check": "codex --version", "ok": True, "detail": "answers", "version": "0.169.0"}
    hub.on("GET /api/v2/tools/codex", answer(tool("codex", health=health, sessions=SESSIONS)))
    assert aish("tools", "status", "codex").out == (
        "name      codex\n"
        "status    available\n"
        "evidence  its program is there\n"
        "driver    acp\n"
        "program   /bin/codex\n"
        "health    ✓ 0.169.0\n"
        "sessions  2 open (1 without a message yet), 1 ended\n"
        "about     codex does\n"
    )


def test_capabilities_are_listed_best_first(aish: Shell, hub: ScriptedHub) -> None:
    found = {
        "name": "codex",
        "static": {"tests": 0.5, "code-generation": 0.9},
        "dynamic": {"code-generation": 0.95},
        "capabilities": {"tests": 0.5, "code-generation": 0.95},
        "origins": {"tests": "declared", "code-generation": "reported"},
        "reported": {"model": "a", "models": ["a", "b"]},
    }
    hub.on("GET /api/v2/tools/codex/capabilities", answer(found))
    assert aish("tools", "capabilities", "codex").out == (
        "CAPABILITY       SCORE  ORIGIN\n"
        "code-generation  0.95   reported\n"
        "tests            0.5    declared\n"
        "model     a\n"
        "models    a, b\n"
    )
    assert json.loads(aish("tools", "capabilities", "codex", "--json").out) == found


def test_a_tool_is_launched_and_terminated(aish: Shell, hub: ScriptedHub) -> None:
    launch = "POST /api/v2/tools/codex/launch"
    hub.on(launch, answer(tool("codex", pid=12)))
    hub.on(
        "POST /api/v2/tools/codex/terminate",
        answer({"name": "codex", "exit_code": None, "signal": 15}),
        problem(409, "not_running", "codex does not run"),
    )
    assert aish("tools", "launch", "codex", "--session", "review") == Ran(
        0, "✓ codex is running (pid 12)\n", ""
    )
    aish("tools", "launch", "codex")
    assert hub.bodies(launch) == [{"cwd": str(aish.folder), "session": "review"}, {"cwd": str(aish.folder)}]
    assert aish("tools", "terminate", "codex") == Ran(0, "✓ codex exited (signal 15)\n", "")
    assert aish("tools", "terminate", "codex") == Ran(1, "", "aish: codex does not run\n")


def test_terminate_also_ends_a_wrapped_program(aish: Shell, hub: ScriptedHub) -> None:
    unknown = problem(404, "unknown_peer", "no", peer="box")
    hub.on("POST /api/v2/tools/box/terminate", unknown)
    hub.on("DELETE /api/v2/programs/box", answer({"name": "box", "exit_code": 0, "signal": None}), unknown)
    assert aish("tools", "terminate", "box") == Ran(0, "✓ box exited (exit code 0)\n", "")
    assert aish("tools", "terminate", "box") == Ran(3, "", "Error: Unknown CI or command: box\n")


def test_program_commands_work_within_a_line(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/tools", answer(TOOLS))
    ran = aish("-c", "tools list | head -1")
    assert ran == Ran(0, "NAME      STATUS         AT     DESCRIPTION\n", "")
