"""What a peer does in a turn, as one line."""

from __future__ import annotations

from rhetor.domain.doing import MOST_CHARACTERS
from rhetor.domain.event import PermissionOption
from rhetor.domain.output import (
    Output,
    PassedOn,
    Permission,
    Reasoned,
    Spooled,
    Text,
    ToolResult,
    ToolUse,
    Withdrawn,
)
from rhetor.domain.questions import Question
from rhetor.domain.turn import Turn

OPTIONS = (PermissionOption("allow", "Allow", "allow_once"),)
BASH = ToolUse("c1", "Bash", {"command": "npm test", "timeout": 5}, "agent")


def lines(*outputs: Output) -> list[str | None]:
    """Return the line after each output of one turn."""
    turn = Turn("t", "m", "apollo")
    turn.start()
    found = [turn.doing.line]
    for output in outputs:
        turn.step(output)
        found.append(turn.doing.line)
    return found[1:] if outputs else found


def test_a_turn_that_has_begun_does_nothing_that_is_known() -> None:
    assert lines() == [None]


def test_answers_and_thoughts_have_words_and_stderr_has_none() -> None:
    said = lines(Reasoned("openai", {}), Text("hm", "reasoning"), Text("hi"), Text("warn", "stderr"))
    assert said == ["thinks", "thinks", "answers", "answers"]


def test_a_tool_call_is_shown_with_its_subject_until_it_returns() -> None:
    assert lines(BASH, ToolResult("c1", "ok"), Text("done")) == ["calls Bash: npm test", "works", "answers"]


def test_of_calls_at_once_the_last_open_one_is_shown() -> None:
    read = ToolUse("c2", "Read", {"file_path": "a\nb.py"}, "agent")
    said = lines(BASH, read, ToolResult("c2", ""), ToolResult("c1", ""))
    assert said == ["calls Bash: npm test", "calls Read: a b.py", "calls Bash: npm test", "works"]


def test_a_call_without_arguments_has_only_its_name() -> None:
    assert lines(ToolUse("c", "list_files", None, "hub")) == ["calls list_files"]
    assert lines(ToolUse("c", "add", {"a": 1, "b": [2]}, "hub")) == ["calls add: a: 1, b: [2]"]


def test_a_tool_of_the_client_is_waited_for() -> None:
    assert lines(ToolUse("c", "weather", {"city": "Bonn"}, "client")) == ["waits for weather: city: Bonn"]


def test_a_tool_that_the_caller_runs_afterwards_is_not_shown() -> None:
    assert lines(Text("hi"), ToolUse("c", "weather", {}, "caller")) == ["answers", "answers"]


def test_a_permission_request_is_shown_until_it_is_answered() -> None:
    asked = Permission("r", "Bash", {"command": "ls"}, OPTIONS)
    assert lines(BASH, asked, Withdrawn("r")) == [
        "calls Bash: npm test",
        "waits for permission: Bash",
        "calls Bash: npm test",
    ]


def test_a_turn_that_waits_says_for_what_although_something_else_came_later() -> None:
    turn = Turn("t", "m", "apollo")
    turn.start()
    assert turn.doing.waits == "waits for an answer"
    turn.step(ToolUse("c", "weather", {}, "client"))
    turn.step(Permission("r", "Bash", {}, OPTIONS))
    turn.step(Text("meanwhile"))
    assert (turn.doing.line, turn.doing.waits) == ("answers", "waits for permission: Bash")
    turn.told("r")
    assert turn.doing.waits == "waits for weather"


def test_questions_and_pauses_have_words_of_their_own() -> None:
    question = Question("q", "Colour", "Which colour?")
    assert lines(Permission("r", "ask", {}, OPTIONS, questions=(question,))) == ["waits for an answer"]
    paused = Permission("r", "quota", {"paused": "quota", "reason": "no more"}, OPTIONS)
    assert lines(paused) == ["waits: its usage limit is reached"]


def test_another_peer_begins_anew() -> None:
    assert lines(BASH, PassedOn("athena")) == ["calls Bash: npm test", None]


def test_outputs_of_a_spool_count_like_others() -> None:
    assert lines(Spooled("spool", 9, (Text("a"), BASH))) == ["calls Bash: npm test"]


def test_a_long_line_is_cut() -> None:
    (line,) = lines(ToolUse("c", "Bash", {"command": "x" * 5000}, "agent"))
    assert line is not None
    assert (len(line), line[:13], line[-2:]) == (MOST_CHARACTERS, "calls Bash: x", "x…")
