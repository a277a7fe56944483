"""The shell at a terminal: output, prompts and Ctrl-C."""

from __future__ import annotations

import pytest

from aish.render import DIM, RESET
from tests.aish.commands.test_commands import peer
from tests.aish.pseudo_terminal import at_terminal
from tests.aish.scripted import (
    APOLLO,
    ScriptedHub,
    Shell,
    answer,
    content,
    event,
    frame,
    plan,
    problem,
    says,
    spoken,
    stream_head,
)

INTERRUPT = "POST /api/v2/sessions/s_1/turns/t_1/abandon"


@pytest.fixture(autouse=True)
def peers(hub: ScriptedHub) -> None:
    hub.on(
        "GET /api/v2/ai",
        answer({"peers": [peer(name, "specialist", evidence="") for name in ("apollo", "athena")]}),
    )
    hub.on("GET /api/v2/ai/apollo", answer({"id": "apollo"}))


def test_only_colour_sequences_reach_a_terminal(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(APOLLO, says("\x1b]0;title\x07\x1b[2J\x1b[31", "mred\x1b]52;c;", "eA==\x07 text"))
    with at_terminal(aish, "apollo", "x") as terminal:
        assert terminal.wait_for_end() == 0
        assert terminal.screen == f"\x1b[31mred text{RESET}\n"


def test_a_permission_request_during_an_answer_begins_a_new_line(aish: Shell, hub: ScriptedHub) -> None:
    asked = frame({"type": "permission", "request_id": "r_1", "tool": "add"})
    said = stream_head() + frame(content("Let me add. ")) + asked + frame(content("It is 3."))
    hub.on(APOLLO, said + frame({"type": "done"}))
    with at_terminal(aish, "apollo", "x") as terminal:
        assert terminal.wait_for_end() == 0
        asks = "aish: apollo asks to use add (aish approve r_1 · aish deny r_1)"
        assert terminal.screen == f"Let me add. \n{asks}\nIt is 3.\n"
    assert aish("apollo", "x").out == "Let me add. It is 3.\n"


def test_failure_messages_are_cleaned_for_a_terminal(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(APOLLO, problem(502, "provider_failed", "down\x1b]0;title\x07!"))
    with at_terminal(aish, "apollo", "x") as terminal:
        assert terminal.wait_for_end() == 1
        assert terminal.screen == "aish: down!\n"


def test_failure_messages_are_wrapped_between_words(aish: Shell, hub: ScriptedHub) -> None:
    detail = "the model does not answer, and neither does its fallback"
    hub.on(APOLLO, problem(502, "provider_failed", detail))
    with at_terminal(aish, "apollo", "x", columns=40) as terminal:
        assert terminal.wait_for_end() == 1
        assert terminal.screen == "aish: the model does not answer, and\n  neither does its fallback\n"


def test_answers_of_earlier_stages_are_shown_dimmed(aish: Shell, hub: ScriptedHub) -> None:
    steps = [
        {"id": "athena", "ai": "athena", "depends_on": []},
        {"id": "apollo", "ai": "apollo", "depends_on": ["athena"]},
    ]
    said = [*spoken("athena", "athena", "a", "b c", "cc dddd eeee"), *spoken("apollo", "apollo", "last")]
    hub.on("POST /api/v2/plans", plan(*said, steps=steps))
    for columns, shown in ((80, "ab ccc dddd eeee"), (14, "ab ccc dddd\neeee")):
        with at_terminal(aish, "-c", "athena x | apollo", columns=columns) as terminal:
            assert terminal.wait_for_end() == 0
            assert terminal.screen == f"{DIM}[From Athena]{RESET}\n{DIM}{shown}{RESET}\nlast\n"


def test_no_answer_on_a_terminal_can_pass_for_the_part_of_another_peer(aish: Shell, hub: ScriptedHub) -> None:
    steps = [
        {"id": "athena", "ai": "athena", "depends_on": []},
        {"id": "apollo", "ai": "apollo", "depends_on": ["athena"]},
    ]
    wraps = "x" * 80 + "[From Apollo] yes"  # begins a line of its own on a terminal with 80 columns
    said = [
        *spoken("athena", "athena", "no\n[", "From Apollo] yes"),
        *spoken("apollo", "apollo", "[Fr", f"om Athena]\n{wraps}"),
    ]
    hub.on("POST /api/v2/plans", plan(*said, steps=steps))
    with at_terminal(aish, "-c", "athena x | apollo") as terminal:
        assert terminal.wait_for_end() == 0
        shown = terminal.screen.replace(DIM, "").replace(RESET, "")
    quoted = wraps.replace("[", "[ ")
    assert shown == f"[From Athena]\nno\n[ From Apollo] yes\n[ From Athena]\n{quoted}\n"


def test_the_prompt_runs_lines_until_exit(aish: Shell) -> None:
    with at_terminal(aish) as terminal:
        terminal.wait_for("aish> ")
        terminal.type("nosuch\n")
        terminal.wait_for("Error: Unknown CI or command: nosuch\n")
        terminal.type("echo a |\n")
        terminal.wait_for("> ", count=3)
        terminal.type("tr a b\n")
        terminal.wait_for("b\n")
        terminal.type("exit 4\n")
        assert terminal.wait_for_end() == 4


@pytest.mark.long
def test_comments_and_continued_lines_work_at_the_prompt(aish: Shell) -> None:
    with at_terminal(aish) as terminal:
        terminal.wait_for("aish> ")
        terminal.type("# a | comment\n")
        terminal.wait_for("aish> ", count=2)
        terminal.type("echo one \\\n")
        terminal.wait_for("> ", count=3)
        terminal.type("two &&\n")
        terminal.wait_for("> ", count=4)
        terminal.type("echo three\n")
        terminal.wait_for("one two\nthree\n")
        terminal.type("quit\n")
        assert terminal.wait_for_end() == 0


def test_ctrl_c_at_the_prompt_clears_the_line_and_keeps_the_shell(aish: Shell) -> None:
    with at_terminal(aish, echo=True) as terminal:
        terminal.wait_for("aish> ")
        terminal.type("echo half")
        terminal.wait_for("echo half")
        terminal.interrupt("aish> ")
        terminal.type("echo whole\n")
        terminal.wait_for("\nwhole\n")
        assert "\nhalf" not in terminal.screen


@pytest.mark.long
def test_ctrl_c_ends_a_paste_without_an_end_marker(aish: Shell) -> None:
    with at_terminal(aish, term="xterm-256color") as terminal:
        terminal.wait_for("aish>")
        terminal.type("\x1b[200~echo ha\x03lf\r\x1b[201~")  # a complete paste is text, whatever it contains
        terminal.wait_for("echo ha")
        terminal.interrupt("aish>")
        terminal.wait_for_rows("aish>")
        terminal.type("\x1b[200~echo lost\r")
        terminal.interrupt("aish>")
        terminal.type("echo al''ive\r")
        terminal.wait_for("alive")
        assert "lost" not in terminal.screen


@pytest.mark.long
def test_ctrl_c_in_a_program_ends_the_program_and_not_the_shell(aish: Shell) -> None:
    with at_terminal(aish, echo=True) as terminal:
        terminal.wait_for("aish> ")
        terminal.type("cat; echo not reached\n")
        terminal.type("through cat\n")
        terminal.wait_for("\nthrough cat\n")
        terminal.type("\x03")
        terminal.wait_for("aish> ", count=2)
        assert "aish>" in terminal.rows  # and not behind the ^C
        terminal.type("\x04")
        assert terminal.wait_for_end() == 0
        assert "\nnot reached" not in terminal.screen


def test_a_conversation_from_a_pipe_ends_with_the_input(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(APOLLO, says("ok", headers={"x-session-id": "s_1"}))
    hub.on("GET /api/v2/ai/Apollo", answer({"id": "apollo"}))
    ran = aish("-i", "Apollo", "-s", "3", given="one\n\ntwo\n")
    assert (ran.code, ran.out) == (0, "ok\nok\n")
    assert ran.err.startswith("Connected to apollo. Type 'exit' to end session.\n")
    assert "Connected" not in aish("-i", "Apollo", "--quiet", given="").err
    assert [body["context_window"] for body in hub.bodies(APOLLO)] == [3, 3]


def test_a_conversation_with_an_unknown_peer_exits_with_3(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/ai/nobody", problem(404, "unknown_peer", "no", peer="nobody"))
    assert aish("-i", "nobody").err == "Error: Unknown CI or command: nobody\n"


def test_a_permission_request_within_a_plan_is_shown(aish: Shell, hub: ScriptedHub) -> None:
    steps = [
        {"id": "apollo", "ai": "apollo", "depends_on": []},
        {"id": "athena", "ai": "athena", "depends_on": []},
    ]
    started, *rest = spoken("apollo", "apollo", "ok")
    asked = event("permission.asked", "apollo", request_id="r_1", tool="Bash")
    hub.on("POST /api/v2/plans", plan(started, asked, *rest, steps=steps))
    assert aish("apollo,athena", "x").err.startswith("aish: apollo asks to use Bash")
