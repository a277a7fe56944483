"""Images, PDF and audio files reach models byte for byte, and JSON answers match their schema."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.home import Machine
from tests.pictures import MP3, PDF, PNG, WAV
from tests.provider.process import ProviderProcess
from tests.provider.script import Script

from aish.client.hub import Binary, Hub

pytestmark = pytest.mark.long
FILES = {"x.png": PNG, "y.pdf": PDF, "z.wav": WAV}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


class Pictures(BaseHTTPRequestHandler):
    """Serves a picture under any path; `/elsewhere` redirects."""

    def do_GET(self) -> None:
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("location", "/x.png")
        else:
            self.send_response(200)
            self.send_header("content-type", "image/png")
            self.send_header("content-length", str(len(PNG)))
        self.end_headers()
        if self.path != "/elsewhere":
            self.wfile.write(PNG)

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture(scope="module")
def pictures() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pictures)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def work(machine: Machine, provider: ProviderProcess, tmp_path: Path) -> Path:
    """A folder with the files, on a machine whose providers are the scripted one."""
    provider.forget()
    machine.folder.mkdir(mode=0o700)
    (machine.folder / "config.yaml").write_text(
        json.dumps(
            {
                "providers": {
                    "one": {"kind": "openai", "base_url": f"{provider.url}/v1"},
                    "two": {"kind": "anthropic", "base_url": provider.url},
                },
                "models": {
                    "default": "one/plain",
                    "takes": {
                        "one/eyes": ["image", "pdf", "audio", "json"],
                        "two/eyes": ["image", "pdf", "json"],
                    },
                },
            }
        )
    )
    folder = tmp_path / "work"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    (folder / "schema.json").write_text(json.dumps(SCHEMA))
    return folder


@pytest.fixture(scope="module")
def provider() -> Iterator[ProviderProcess]:
    with ProviderProcess("--port", "0", "--key", "", "--model", "plain", "--model", "eyes") as process:
        yield process


def bodies(provider: ProviderProcess) -> list[dict[str, Any]]:
    return [call["body"] for call in provider.calls() if call["body"]]


def contents(message: dict[str, Any]) -> list[bytes]:
    """The contents of the parts of a message, in either API."""
    found = []
    for part in message["content"] if isinstance(message["content"], list) else ():
        data = part.get("source", {}).get("data") or part.get("input_audio", {}).get("data")
        url = part.get("image_url", {}).get("url") or part.get("file", {}).get("file_data")
        if data or url:
            found.append(base64.b64decode(data or url.partition("base64,")[2], validate=True))
    return found


def test_files_reach_both_apis_byte_for_byte(machine: Machine, provider: ProviderProcess, work: Path) -> None:
    provider.script(*(Script(chunks=("A cat.",)) for _ in range(8)))
    given = [word for name in FILES for word in ("-a", name)]
    ran = machine.run("apollo", "-m", "one/eyes", *given, "what is this", cwd=work)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "A cat.\n", "")
    ran = machine.run("apollo", "-m", "two/eyes", *given[:4], "-s", "5", "what is this", cwd=work)
    assert (ran.returncode, ran.stdout) == (0, "A cat.\n")
    session = ran.stderr.split()[1]
    ran = machine.run("apollo", "-m", "two/eyes", "-s", session, "and its colour?", cwd=work)
    assert ran.returncode == 0
    openai, anthropic, again = bodies(provider)
    assert contents(openai["messages"][-1]) == list(FILES.values())
    assert openai["messages"][-1]["content"][0] == {"type": "text", "text": "what is this"}
    assert contents(anthropic["messages"][-1]) == [PNG, PDF]
    assert contents(again["messages"][0]) == [PNG, PDF]  # a model remembers nothing by itself
    assert again["messages"][-1]["content"] == "and its colour?"
    # the same in a pipeline, a broadcast, from standard input and without a text
    line = "apollo -m one/eyes -a x.png 'what is this' | athena -m one/eyes"
    assert machine.run("-c", line, cwd=work).returncode == 0
    ran = machine.run("apollo,athena", "what", "-a", "x.png", "-m", "two/eyes", cwd=work)
    assert ran.returncode == 0
    with (work / "x.png").open("rb") as picture:
        alone = machine.start_with(picture, "apollo", "-m", "one/eyes", "-a", "-", cwd=work)
    assert alone.returncode == 0, alone.stderr
    sent = [contents(body["messages"][-1]) for body in bodies(provider)[3:]]
    assert sent.count([PNG]) == 4
    # what was asked for is in the log, without the content
    shown = machine.run("history", "1", "json").stdout
    assert base64.b64encode(PNG).decode()[:40] not in shown


def test_what_a_model_does_not_take_is_rejected_before_anything_is_sent(
    machine: Machine, provider: ProviderProcess, work: Path
) -> None:
    (work / "wrong.png").write_bytes(PDF)
    (work / "notes.txt").write_text("text")
    (work / "empty.png").write_bytes(b"")
    for words, says in (
        (("apollo", "-a", "x.png", "hi"), "one/plain, the model of apollo, does not take x.png (image/png)"),
        (("apollo", "-m", "two/eyes", "-a", "z.wav", "hi"), "does not take z.wav (audio/wav)"),
        (("apollo", "-m", "one/eyes", "-a", "notes.txt", "hi"), "does not take notes.txt (text/plain)"),
        (("apollo", "-m", "one/eyes", "-a", "wrong.png", "hi"), "wrong.png is not image/png"),
        (("apollo", "-m", "one/eyes", "-a", "empty.png", "hi"), "empty.png is empty"),
        (("apollo", "--schema", "schema.json", "hi"), "gives no JSON answers by a schema"),
        (("apollo", "-m", "one/eyes", "--schema", "[]", "hi"), "cannot read []"),
        (("apollo", "-m", "one/eyes", "--schema", '{"type": 3}', "hi"), "not a JSON Schema"),
        (("apollo,athena", "-a", "x.png", "hi"), "does not take x.png"),
        (("-c", "apollo -m one/eyes -a x.png hi | athena --schema schema.json"), "gives no JSON answers"),
    ):
        ran = machine.run(*words, cwd=work)
        assert (ran.returncode in (1, 2), ran.stdout) == (True, ""), (words, ran)
        assert says in ran.stderr, (words, ran.stderr)
    assert machine.run("apollo", "-a", "nosuch.png", "hi", cwd=work).returncode == 1
    assert bodies(provider) == []


def test_a_url_is_read_by_the_hub_without_redirects(
    machine: Machine, provider: ProviderProcess, work: Path, pictures: str
) -> None:
    provider.script(Script(chunks=("A cat.",)))
    ran = machine.run("apollo", "-m", "one/eyes", "-a", f"{pictures}/x.png", "what", cwd=work)
    assert (ran.returncode, ran.stdout) == (0, "A cat.\n"), ran.stderr
    assert contents(bodies(provider)[0]["messages"][-1]) == [PNG]
    for url, says in (
        (f"{pictures}/elsewhere", "answered with status 302"),
        ("http://169.254.169.254/latest", "which the configuration does not allow"),
        ("http://10.0.0.1/x.png", "which the configuration does not allow"),
        ("http://2130706433/x.png", "unusual notation"),
    ):
        ran = machine.run("apollo", "-m", "one/eyes", "-a", url, "what", cwd=work)
        assert (ran.returncode, says in ran.stderr) == (2, True), ran.stderr
    assert len(bodies(provider)) == 1


def test_an_upload_survives_the_hub_that_took_it(
    machine: Machine, provider: ProviderProcess, work: Path
) -> None:
    assert machine.run("list").returncode == 0
    hub = Hub(str(machine.folder), may_start=False)
    kept = hub.ask("POST", "/api/v2/blobs?name=song.mp3", Binary(MP3, "audio/mp3"))
    assert (kept["media_type"], kept["bytes"]) == ("audio/mpeg", len(MP3))
    assert (machine.folder / "blobs" / kept["blob_id"]).stat().st_mode & 0o777 == 0o600
    machine.kill_hub()
    assert machine.run("list").returncode == 0
    provider.script(Script(chunks=("A song.",)))
    parts = [{"type": "audio", "blob_id": kept["blob_id"]}]
    body = {"content": "", "model": "one/eyes", "parts": parts}
    assert hub.ask("POST", "/api/v2/ai/apollo/message", body)["response"] == "A song."
    (sent,) = bodies(provider)
    assert contents(sent["messages"][-1]) == [MP3]
    answer = hub.open("GET", f"/api/v2/blobs/{kept['blob_id']}")
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.body() == MP3
    answer.close()


def test_a_json_answer_matches_its_schema_or_fails(
    machine: Machine, provider: ProviderProcess, work: Path
) -> None:
    right = '{"name": "Ada", "age": 36}'
    for model in ("one/eyes", "two/eyes"):
        provider.forget()
        provider.script(Script(chunks=(right[:9], right[9:])))
        words = ("apollo", "-m", model, "--schema", "schema.json", "who?")
        ran = machine.run(*words, cwd=work)
        assert (ran.returncode, json.loads(ran.stdout)) == (0, {"name": "Ada", "age": 36}), ran.stderr
        (body,) = bodies(provider)
        wanted = body.get("response_format", body.get("output_config"))
        assert json.dumps(SCHEMA)[1:-1] in json.dumps(wanted)
        for script, says in (
            (Script(chunks=('{"name": "Ada"}',)), "'age' is a required property"),
            (Script(chunks=("Ada, who is 36",)), "it is not JSON"),
            (Script(chunks=(right[:9],), finish="length"), "is not complete (length)"),
        ):
            provider.script(script)
            ran = machine.run(*words, cwd=work)
            assert (ran.returncode, ran.stdout, says in ran.stderr) == (1, "", True), ran.stderr
    provider.script(Script(chunks=('{"name": 3, "age": 3}',)))
    line = f"apollo -m one/eyes 'who?' --schema '{json.dumps(SCHEMA)}' | athena"
    ran = machine.run("-c", line, cwd=work)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "3 is not of type 'string'" in ran.stderr
