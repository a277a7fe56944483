"""A hub with a peer of every kind: a key that each of them says in two pieces is in no file and no answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.e2e.home import Machine
from tests.hostile.attacks.saying import AGENTS, WRAPPED, configuration, scripts, write_script
from tests.hostile.running import RunningHub, at_a_port, running_hub
from tests.provider.process import ProviderProcess
from tests.scale import FULL

from rhetor.domain.secrets import LEAST, MASK

pytestmark = pytest.mark.long

KEY = "sk-CANARY-1234567890"
CUTS = range(1, len(KEY)) if FULL else (1, LEAST, 11, len(KEY) - 1)
EXPECTED = f"it is {MASK} ok"
# where the pieces of a key may be, each in a line of JSON of its own: what a program has written
SPOOLS = re.compile(r"/hosts/")


@pytest.fixture
def provider() -> Iterator[ProviderProcess]:
    with ProviderProcess("--port", "0") as process:
        yield process


class Said:
    """All that the hub has answered."""

    def __init__(self, hub: RunningHub) -> None:
        self.hub = hub
        self.answers: list[str] = []

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        response = self.hub.ask(method, path, json=body)
        self.answers.append(response.text)
        return response

    def text_of(self, peer: str, message: str) -> str:
        """Send a message; return the answer, or the error's detail."""
        found = self.ask("POST", f"/api/v2/ai/{peer}/message", {"content": message, "execute": True}).json()
        return str(found.get("response", found.get("detail"))).strip()


def test_a_key_is_in_no_file_no_answer_and_no_export(tmp_path: Path, provider: ProviderProcess) -> None:
    home = tmp_path / "home"
    home.mkdir(0o700)
    (scripts_at := tmp_path / "scripts").mkdir()
    (home / "config.yaml").write_text(json.dumps(configuration(scripts_at, provider.url, KEY)))
    with running_hub(home, {"CANARY_KEY": KEY}) as hub:
        try:
            said = Said(hub)
            _say_everything(said, hub, scripts_at, provider)
            _read_everything(said)
            export = tmp_path / "export.jsonl"
            ran = Machine(home).rhetor("export", "-o", str(export))
            assert ran.returncode == 0, ran.stderr
            assert len(said.answers) > 50
            for text in (*said.answers, export.read_text(), ran.stdout, ran.stderr):
                _check(text)
            _check_files(home)
        finally:
            Machine(home).end_programs()
    _check_files(home)  # the hub has written its last lines, and the WAL is in the database


def _say_everything(said: Said, hub: RunningHub, folder: Path, provider: ProviderProcess) -> None:
    for kind, code in WRAPPED.items():
        argv = [write_script(folder, f"{kind}.py", code, KEY)]
        program: Any = {
            "name": f"my-{kind}",
            "kind": kind,
            "argv": argv,
            "cwd": "/",
            "env": {"TERM": "xterm"},
        }
        with at_a_port(hub.socket) as url:
            host = {"host": "localhost"}
            made = requests.post(f"{url}/api/v2/programs", json=program, headers=host, timeout=60)
        assert made.status_code == 200, made.text
    for cut in CUTS:
        for peer in (*WRAPPED, *AGENTS):
            answer = said.text_of(f"my-{peer}", f"cut at {cut}")
            assert MASK in answer or "*" * 8 in answer, (peer, cut, answer)
        for peer in ("apollo", "athena"):
            provider.forget()
            provider.script(*scripts(KEY, cut))
            answers = [said.text_of(peer, "what is the key?") for _ in range(3)]
            assert answers[0] == EXPECTED, (peer, cut, answers)
            assert "[key]" in answers[1] or MASK in answers[1], (peer, cut, answers)


def _read_everything(said: Said) -> None:
    for path in (
        *("/api/v2/ai", "/api/v2/status", "/api/v2/history?limit=500", "/api/v2/search?q=canary", "/metrics"),
        *("/api/v2/search?q=it+is", "/api/v2/tools?check=true", "/api/mcp-servers", "/api/v2/permissions"),
        *(f"/api/v2/ai/my-{peer}/status" for peer in (*WRAPPED, *AGENTS)),
    ):
        said.ask("GET", path)
    said.ask("POST", "/api/mcp-servers/leaky/test")
    sessions = said.ask("GET", "/api/v2/sessions").json()["sessions"]
    assert sessions
    for session in sessions:
        said.ask("GET", f"/api/v2/sessions/{session['id']}?messages=1000")
        said.ask("GET", f"/api/v2/sessions/{session['id']}/events?limit=1000")


def _check(text: str) -> None:
    """Check that a text has neither the key nor enough of it to give it away."""
    assert KEY not in text
    for piece in (KEY[:LEAST], KEY[-LEAST:]):
        at = text.find(piece)
        assert at < 0, text[max(at - 300, 0) : at + 300]


def _check_files(home: Path) -> None:
    for path in home.rglob("*"):
        if path.is_file():
            data = path.read_bytes().decode("latin-1")
            assert KEY not in data, path
            if not SPOOLS.search(str(path)):
                _check(data)
