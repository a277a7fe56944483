"""Transcripts that coding agents have written themselves, read as passages."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rhetor.codec.lines import Cut, Lines
from rhetor.domain.output import Text, ToolResult, ToolUse, Usage
from rhetor.domain.transcript import Excerpt, Passage
from rhetor.drivers.agents.claude.transcript import ClaudeTranscript
from rhetor.drivers.agents.codex.transcript import CodexTranscript
from rhetor.drivers.agents.transcript import MAX_PART, MAX_PASSAGE, Transcript
from rhetor.drivers.agents.transcripts import AgentTranscripts, claude_folder, codex_folder
from rhetor.errors import TranscriptUnreadable

DATA = Path(__file__).parents[3] / "data" / "transcripts"
FORMATS: dict[str, Callable[[], Transcript]] = {"claude": ClaudeTranscript, "codex": CodexTranscript}
RECORDED = ["claude_exec", "claude_stream", "claude_failed", "codex_exec", "codex_failed"]
CLAUDE = AgentTranscripts(claude_folder, 1, ClaudeTranscript)
CODEX = AgentTranscripts(codex_folder, 3, CodexTranscript)


def read(transcript: Transcript, data: bytes, *, is_quiet: bool = False) -> list[Passage]:
    passages: list[Passage] = []
    offset = 0
    for line in Lines().feed(data):
        passages += transcript.take(line, offset)
        offset += len(line) + 1 if isinstance(line, bytes) else 0
    return passages + transcript.finish(is_quiet=is_quiet)


def recorded(name: str) -> bytes:
    return (DATA / f"{name}.jsonl").read_bytes()


def lines(*found: dict[str, Any]) -> bytes:
    return b"".join(msgspec.json.encode(each) + b"\n" for each in found)


def shown(passages: list[Passage]) -> list[Any]:
    """Return the passages as plain values, each output under the name of its class."""
    return [
        {
            "passage": {key: value for key, value in msgspec.to_builtins(each).items() if key != "outputs"},
            "outputs": [{type(o).__name__: msgspec.to_builtins(o)} for o in each.outputs],
        }
        for each in passages
    ]


@pytest.mark.parametrize("name", RECORDED)
def test_a_transcript_gives_the_expected_passages(name: str) -> None:
    transcript = FORMATS[name.partition("_")[0]]()
    passages = read(transcript, recorded(name))
    golden = json.loads((DATA / f"{name}.passages.json").read_text())
    assert (transcript.cwd, transcript.malformed, transcript.is_open) == ("/home/me/work", 0, False)
    assert {"conversation": transcript.conversation, "passages": shown(passages)} == golden


def test_a_turn_of_claude_code_has_reasoning_tools_answer_and_usage() -> None:
    first, second, third = read(ClaudeTranscript(), recorded("claude_exec"))
    assert first.outputs == (
        Text("Let me look", "reasoning"),
        Text("I will run it."),
        ToolUse(
            "toolu_one",
            "Bash",
            {"command": "echo hello from the tool", "description": "a command"},
            "agent",
        ),
        ToolResult("toolu_one", "hello from the tool"),
        Usage("claude-opus-5-5", 1200, 30, 1000),
        Text("\n\nIt said hello."),
        Usage("claude-opus-5-5", 1200, 30, 1000),
    )
    assert [(p.content, p.ending, p.model) for p in (first, second, third)] == [
        ("run the tool", "completed", "claude-opus-5-5"),
        ("which bird?", "completed", "claude-opus-5-5"),
        ("work on it", "interrupted", "claude-opus-5-5"),
    ]


def test_a_turn_of_codex_has_them_too_and_repeated_usage_counts_once() -> None:
    first, _, third = read(CodexTranscript(), recorded("codex_exec"))
    assert [type(o).__name__ for o in first.outputs] == [
        *("Text", "Text", "ToolUse", "ToolResult", "Usage", "Text", "Usage")
    ]
    assert (third.ending, third.outputs) == ("interrupted", ())


def test_a_refusal_of_the_model_is_a_failure() -> None:
    claude, _ = read(ClaudeTranscript(), recorded("claude_failed"))
    (codex,) = read(CodexTranscript(), recorded("codex_failed"))
    assert (claude.ending, claude.detail) == ("failed", "API Error: 400 Invalid request.")
    assert (codex.ending, "Invalid request." in codex.detail) == ("failed", True)


def test_a_command_to_the_program_is_not_a_message() -> None:
    contents = [p.content for p in read(ClaudeTranscript(), recorded("claude_failed"))]
    assert contents == ["fail please", "and then?"]


@pytest.mark.parametrize("name", RECORDED)
def test_a_file_that_is_being_written_gives_whole_turns_first_then_the_rest(name: str) -> None:
    """After a cut at any byte, the whole turns are a prefix of all turns."""
    make, data = FORMATS[name.partition("_")[0]], recorded(name)
    whole = read(make(), data)
    dice = random.Random(3)
    for cut in sorted(dice.randrange(len(data)) for _ in range(60)):
        part = read(make(), data[:cut])
        assert part == whole[: len(part)]


def test_an_unfinished_turn_counts_as_interrupted_once_the_file_stops_growing() -> None:
    begun = lines(
        {"type": "user", "uuid": "u1", "sessionId": "c1", "cwd": "/w", "timestamp": "2026-01-02T03:04:05Z"}
        | {"message": {"role": "user", "content": "hello"}}
    )
    assert read(ClaudeTranscript(), begun) == []
    (passage,) = read(ClaudeTranscript(), begun, is_quiet=True)
    assert (passage.content, passage.ending, passage.at) == ("hello", "interrupted", 1767323045000)


@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS)
def test_invalid_lines_are_counted_and_the_others_read(make: Callable[[], Transcript]) -> None:
    name = "claude_exec" if make is ClaudeTranscript else "codex_exec"
    good = recorded(name).splitlines(keepends=True)
    bad = b'{"type": "user", "mess\n\xff\xfe\n[1]\n' + b"[" * 100_000 + b"\n"
    values: list[Any] = [None, 3, "x", [], {"content": 7}, {"type": "item_completed", "item": 1}]
    kinds = ("user", "assistant", "event_msg", "response_item", "session_meta")
    odd = lines(*({"type": kind, "message": v, "payload": v} for kind in kinds for v in values))
    transcript = make()
    passages = read(transcript, b"".join([*good[:6], bad, odd, *good[6:]]))
    assert transcript.malformed == 4
    assert [p.id for p in passages] == [p.id for p in read(make(), b"".join(good))]


def test_an_overlong_line_is_skipped_and_counted() -> None:
    transcript = ClaudeTranscript()
    assert transcript.take(Cut(b"{", 1 << 30), 0) == []
    assert transcript.malformed == 1


def test_very_long_texts_are_cut() -> None:
    name = {"type": "user", "sessionId": "c1", "timestamp": "2026-01-02T03:04:05Z"}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "y" * (2 * MAX_PART)}
    call = {"type": "tool_use", "id": "t", "name": "Write", "input": {"content": "z" * (2 * MAX_PART)}}
    data = lines(
        name | {"uuid": "u1", "message": {"role": "user", "content": "x" * 3_000_000}},
        name | {"type": "assistant", "message": {"content": [call], "stop_reason": "tool_use"}},
        name | {"uuid": "u2", "message": {"role": "user", "content": [result]}},
        name
        | {"type": "assistant"}
        | {"message": {"content": [{"type": "text", "text": "done"}], "stop_reason": "end_turn"}},
    )
    (passage,) = read(ClaudeTranscript(), data)
    used, returned, said = passage.outputs
    assert isinstance(used, ToolUse) and list(used.arguments) == ["cut"]
    assert isinstance(returned, ToolResult) and len(returned.result) < MAX_PART + 100
    assert (said, len(passage.content) < 1_100_000) == (Text("done"), True)


def test_the_size_of_a_turn_without_an_end_is_bounded() -> None:
    name = {"type": "assistant", "sessionId": "c1", "timestamp": "2026-01-02T03:04:05Z"}
    begun = {**name, "type": "user", "uuid": "u1", "message": {"role": "user", "content": "go on"}}
    block = {"type": "text", "text": "x" * MAX_PART}
    said = lines(name | {"message": {"content": [block], "stop_reason": "end_turn"}}) * 100
    (passage,) = read(ClaudeTranscript(), lines(begun) + said)
    size = sum(len(output.text) for output in passage.outputs if isinstance(output, Text))
    assert MAX_PASSAGE - MAX_PART < size <= MAX_PASSAGE


def test_older_codex_files_without_tasks_are_read() -> None:
    at = {"timestamp": "2025-06-01T00:00:00Z"}
    data = lines(
        at | {"type": "session_meta", "payload": {"id": "c1", "cwd": "/w", "source": "cli"}},
        at | {"type": "event_msg", "payload": {"type": "user_message", "message": "hi"}},
        at | {"type": "event_msg", "payload": {"type": "agent_message", "message": "hello"}},
        at | {"type": "event_msg", "payload": {"type": "user_message", "message": "bye"}},
        at | {"type": "event_msg", "payload": {"type": "agent_message", "message": "farewell"}},
    )
    found = [(p.content, p.outputs, p.ending) for p in read(CodexTranscript(), data)]
    assert found == [("hi", (Text("hello"),), "completed"), ("bye", (Text("farewell"),), "completed")]


# files


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_the_files_of_an_agent_are_found_in_its_folders(tmp_path: Path) -> None:
    mine = put(tmp_path, ".claude/projects/-w/a.jsonl", b"{}\n")
    put(tmp_path, ".claude/projects/-w/a/subagents/agent-1.jsonl", b"{}\n")
    put(tmp_path, ".claude/projects/-w/notes.txt", b"{}\n")
    other = put(tmp_path, "elsewhere/b.jsonl", b"{}\n")
    (mine.parent / "link.jsonl").symlink_to(other)
    (mine.parent.parent / "folder").symlink_to(other.parent)
    assert [f.path for f in CLAUDE.files({"HOME": str(tmp_path)})] == [str(mine)]
    moved = {"HOME": "/nowhere", "CLAUDE_CONFIG_DIR": str(tmp_path / ".claude")}
    assert [(f.path, f.size) for f in CLAUDE.files(moved)] == [(str(mine), 3)]
    rollout = put(tmp_path, "codex/sessions/2026/01/02/rollout-1.jsonl", b"{}\n")
    assert [f.path for f in CODEX.files({"CODEX_HOME": str(tmp_path / "codex")})] == [str(rollout)]
    assert CODEX.files({"HOME": "/nowhere"}) == []


@pytest.mark.parametrize("what", ["missing", "pipe", "link", "device"])
def test_only_regular_files_of_the_user_are_read(tmp_path: Path, what: str) -> None:
    path = tmp_path / "it.jsonl"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "link":
        path.symlink_to(put(tmp_path, "real.jsonl", recorded("claude_exec")))
    elif what == "device":
        path = Path("/dev/zero")
    with pytest.raises(TranscriptUnreadable):
        CLAUDE.at(str(path))
    with pytest.raises(TranscriptUnreadable):
        list(CLAUDE.read(str(path)))


def test_each_format_recognizes_only_its_own_files(tmp_path: Path) -> None:
    for name in RECORDED:
        path = str(put(tmp_path, f"{name}.jsonl", recorded(name)))
        claudes = name.startswith("claude")
        assert (CLAUDE.recognises(path), CODEX.recognises(path)) == (claudes, not claudes)
    other = str(put(tmp_path, "other.jsonl", b'{"some": "thing"}\n'))
    assert (CLAUDE.recognises(other), CODEX.recognises(other)) == (False, False)


def test_a_large_file_is_read_in_small_pieces(tmp_path: Path) -> None:
    made, data = 500, recorded("claude_exec")
    path = put(tmp_path, "large.jsonl", b"")
    with path.open("wb") as file:
        for number in range(made):
            file.write(data.replace(b'"uuid": "', b'"uuid": "%d-' % number))
    assert path.stat().st_size > 8 << 20
    excerpts = list(CLAUDE.read(str(path)))
    assert sum(len(e.passages) for e in excerpts) == 3 * made
    assert max(len(e.passages) for e in excerpts) < made
    assert excerpts[-1] == Excerpt(excerpts[0].conversation, "/home/me/work")


def test_the_result_says_whether_all_of_a_file_was_read(tmp_path: Path) -> None:
    data = recorded("codex_exec")
    begun = data[: data.index(b'"task_complete"')]
    path = put(tmp_path, "it.jsonl", begun)
    *_, last = CODEX.read(str(path))
    assert (last.is_whole, last.passages) == (False, ())
    path.write_bytes(data)
    *_, last = CODEX.read(str(path))
    assert last.is_whole
    path.write_bytes(begun[: begun.rindex(b"\n") + 1])
    old = time.time() - 7200
    os.utime(path, (old, old))
    *_, last = CODEX.read(str(path))
    assert (last.is_whole, [p.ending for p in last.passages]) == (True, ["interrupted"])


def test_a_transcript_of_a_sub_agent_is_recognized(tmp_path: Path) -> None:
    side = {"type": "user", "isSidechain": True, "sessionId": "c1", "uuid": "u", "message": {"content": "x"}}
    (excerpt, _) = CLAUDE.read(str(put(tmp_path, "agent-1.jsonl", lines(side))))
    assert (excerpt.is_foreign, excerpt.passages) == (True, ())
    meta = {"id": "c2", "source": {"subagent": "review"}}
    (excerpt, _) = CODEX.read(str(put(tmp_path, "r.jsonl", lines({"type": "session_meta", "payload": meta}))))
    assert excerpt.is_foreign
