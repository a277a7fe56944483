"""A real small model answers through the installed `aish`: how it starts, ends, fails and is managed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.e2e.home import SECONDS
from tests.model.machine import ModelMachine, is_running, until

pytestmark = pytest.mark.model
NOTICE = "a small local model (smollm2) answers; add a provider for better answers"
STORY = "Write a long story about the keeper of a lighthouse, his dog, and a storm that lasts for a week."
WORDS = re.compile(r"[A-Za-z]{2,}")


def begun(machine: ModelMachine, *arguments: str) -> subprocess.Popen[bytes]:
    """Start `aish`, and return when it has printed the first words."""
    process = machine.start(*arguments)
    assert process.stdout is not None
    assert os.read(process.stdout.fileno(), 1000)
    return process


def starts(machine: ModelMachine) -> int:
    """Return how many processes of models the hub has started."""
    return (machine.folder / "hub.log").read_text().count('"local model started"')


@contextmanager
def configured(machine: ModelMachine, text: str) -> Iterator[None]:
    """Let the running hub have these settings."""
    config = machine.folder / "config.yaml"
    before = config.read_text() if config.exists() else ""
    try:
        config.write_text(text)
        assert machine.rhetor("reload").returncode == 0
        yield
    finally:
        config.write_text(before)
        assert machine.rhetor("reload").returncode == 0


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    _, stderr = process.communicate(timeout=SECONDS)
    return process.returncode, stderr.decode()


@pytest.fixture(autouse=True)
def _no_process(machine: ModelMachine) -> None:
    """Let each test begin without a process of the model."""
    if pid := machine.model_pid():
        os.kill(pid, signal.SIGKILL)
        until(lambda: machine.model_pid() is None)


def test_a_pulled_model_is_private_and_is_not_fetched_twice(machine: ModelMachine) -> None:
    folder = machine.folder / "local-models"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = {path.name: path for path in folder.iterdir() if path.suffix != ".log"}
    assert files.keys() == {"smollm2.gguf", "smollm2.json"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    before = files["smollm2.gguf"].stat()
    assert machine.ask("models", "pull", "smollm2") == "✓ local/smollm2 is here, 98 MB\n"
    assert files["smollm2.gguf"].stat() == before


def test_auto_takes_the_model_at_first_use_says_so_once_and_caches_the_prompt(machine: ModelMachine) -> None:
    machine.ask("shutdown")
    machine.wait_for_end()
    listed = machine.ask("models")
    assert re.search(r"^local/smollm2 \(default\) +text, json +0 +0 ", listed, re.MULTILINE)
    assert machine.model_pid() is None  # the hub runs, and the model does not
    first = machine.run("apollo", "-s=5", "What is a cache? Answer in one sentence.")
    assert first.returncode == 0
    assert NOTICE in first.stderr
    assert len(WORDS.findall(first.stdout)) > 4
    assert "offline" not in first.stdout
    pid = machine.model_pid()
    assert pid is not None
    second = machine.run("apollo", "-C", "Say that again.")
    assert (second.returncode, NOTICE in second.stderr) == (0, False)
    assert machine.model_pid() == pid
    turns = json.loads(machine.ask("history", "2", "json"))
    assert [turn["model"] for turn in turns] == ["local/smollm2"] * 2
    events = machine.ask("sessions", "export", turns[0]["stream"], "--format", "jsonl").splitlines()
    usages = [event for event in map(json.loads, events) if "usage" in event.get("type", "")]
    assert usages[-1]["data"]["cached_tokens"] > 100, usages  # the role and the first message
    assert {usage["data"]["cost"] for usage in usages} == {"0"}


def test_an_answer_follows_a_schema(machine: ModelMachine) -> None:
    schema = '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'
    answer = machine.ask("apollo", "--schema", schema, "Name a city in Italy.")
    assert isinstance(json.loads(answer)["city"], str)


def test_two_peers_answer_at_once_from_one_process(machine: ModelMachine) -> None:
    before = starts(machine)
    answers = machine.ask("apollo,athena", "What is a queue? Answer in one sentence.")
    assert "Apollo" in answers
    assert "Athena" in answers
    assert len(WORDS.findall(answers)) > 10
    assert starts(machine) == before + 1


def test_an_idle_process_ends_and_a_cancelled_answer_does_not_keep_it(machine: ModelMachine) -> None:
    with configured(machine, "models: {local: {idle: 0.3}}"):
        answering = begun(machine, "apollo", STORY)
        pid = machine.model_pid()
        assert pid is not None
        time.sleep(0.6)  # longer than it may be idle
        assert machine.model_pid() == pid
        answering.send_signal(signal.SIGINT)
        assert ended(answering)[0] == 130
        until(lambda: machine.model_pid() is None)
        assert not is_running(pid)
        assert WORDS.search(machine.ask("apollo", "Name a colour."))


def test_a_killed_model_fails_its_answer_and_the_next_message_starts_it_again(machine: ModelMachine) -> None:
    answering = begun(machine, "apollo", STORY)
    pid = machine.model_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    code, stderr = ended(answering)
    assert code == 1
    assert "the answer of local is incomplete" in stderr
    assert "send the message again" in stderr
    assert WORDS.search(machine.ask("apollo", "Name a colour."))
    assert machine.model_pid() not in (None, pid)


def test_no_process_is_left_when_the_hub_is_killed(machine: ModelMachine) -> None:
    answering = begun(machine, "apollo", STORY)
    pid = machine.model_pid()
    assert pid is not None
    machine.kill_hub()
    until(lambda: not is_running(pid))
    answering.kill()
    answering.communicate()


def test_a_prompt_that_is_too_long_is_an_error_and_not_cut(machine: ModelMachine) -> None:
    failed = machine.run("apollo", stdin="one two three four five six seven eight nine ten " * 1000)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "exceeds the available context size" in failed.stderr
    assert "shorten the message" in failed.stderr


def test_timeouts_hold_and_a_reload_keeps_the_process(machine: ModelMachine) -> None:
    assert machine.ask("apollo", "Name a colour.")
    pid = machine.model_pid()
    with configured(machine, "timeouts: {total: 0.5}"):
        failed = machine.run("apollo", STORY)
        assert failed.returncode == 124
        assert "did not answer in time (total: 0.5 s)" in failed.stderr
        assert machine.model_pid() == pid


@contextmanager
def serving(content: bytes, cut: int) -> Iterator[tuple[str, list[int]]]:
    """Serve a file, whose first response is cut off after so many bytes. Yield its URL, and where each
    request began."""
    begins: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            begin = int((self.headers["range"] or "bytes=0-")[6:-1])
            begins.append(begin)
            self.send_response(206 if begin else 200)
            self.send_header("content-length", str(len(content) - begin))
            if begin:
                self.send_header("content-range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            self.wfile.write(content[begin : cut if len(begins) == 1 else None])
            self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/Tiny-Copy.gguf", begins
    finally:
        server.shutdown()
        server.server_close()


def test_a_model_from_a_url_resumes_is_checked_and_can_be_used_and_removed(
    machine: ModelMachine,
) -> None:
    content = (machine.folder / "local-models/smollm2.gguf").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    with serving(content, 50_000_000) as (url, begins):
        missing = machine.run("models", "pull", url)
        assert (missing.returncode, begins) == (2, [])
        said = machine.ask("models", "pull", url, "--sha256", digest)
    assert said == "✓ local/tiny-copy is here, 98 MB; aish models use tiny-copy lets auto take it\n"
    assert begins[0] == 0
    assert 0 < begins[1] <= 50_000_000
    assert machine.ask("models", "use", "tiny-copy").startswith("✓ auto takes local/tiny-copy")
    assert "use: tiny-copy" in (machine.folder / "config.yaml").read_text()
    assert WORDS.search(machine.ask("apollo", "Name a colour."))
    (pid,) = filter(None, [machine.model_pid("tiny-copy")])
    assert machine.ask("models", "remove", "tiny-copy") == "✓ Removed local/tiny-copy\n"
    assert not is_running(pid)
    assert [model["name"] for model in machine.local_models()] == ["smollm2"]
    assert machine.run("models", "remove", "tiny-copy").returncode == 3
    with serving(b"GGUF" + bytes(1000), 2000) as (url, _):
        wrong = machine.run("models", "pull", url, "--sha256", "0" * 64)
        assert (wrong.returncode, "has the SHA-256" in wrong.stderr) == (2, True)
    with serving(b"<html>" * 1000, 10_000) as (url, _):
        wrong = machine.run("models", "pull", url, "--sha256", "0" * 64)
        assert (wrong.returncode, "is not a GGUF model" in wrong.stderr) == (2, True)
    assert not list((machine.folder / "local-models").glob("*tiny*.gguf"))


def test_a_model_that_cannot_be_loaded_is_a_typed_error(machine: ModelMachine) -> None:
    content = b"GGUF\x03\0\0\0" + (1).to_bytes(8, "little") + bytes(8) + bytes(1000)
    with serving(content, 10_000) as (url, _):
        machine.ask("models", "pull", url, "--sha256", hashlib.sha256(content).hexdigest(), "--name", "bad")
    failed = machine.run("apollo", "-m", "local/bad", "hi")
    assert failed.returncode == 1
    assert "the process of local/bad did not start" in failed.stderr
    unknown = machine.run("apollo", "-m", "local/none", "hi")
    assert unknown.returncode != 0
    assert "no local model called 'none'" in unknown.stderr
