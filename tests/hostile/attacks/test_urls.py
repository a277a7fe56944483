"""Addresses that the hub must not call, at every place where a URL can be set, and redirects to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from tests.e2e.home import Machine
from tests.hostile.running import RunningHub

pytestmark = pytest.mark.long

NEVER = (
    "http://169.254.169.254/latest",
    "http://[fe80::1]/v1",
    "http://[fd00:ec2::254]/latest",
    "http://100.100.100.200/latest",
    "http://168.63.129.16/machine",
    "http://0.0.0.0/v1",
    "http://[::]/v1",
    "http://[::ffff:127.0.0.1]/v1",
    "http://[::ffff:a9fe:a9fe]/latest",
    "http://[64:ff9b::a9fe:a9fe]/latest",
    "http://[2002:a9fe:a9fe::]/latest",
    "http://2130706433/v1",
    "http://0x7f000001/v1",
    "http://0x7f.1/v1",
    "http://127.1/v1",
    "http://0177.0.0.1/v1",
    "http://user:secret@8.8.8.8/v1",
    "http://8.8.8.8\\@127.0.0.1/v1",
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
    "//127.0.0.1/",
    "http://",
)


@pytest.mark.parametrize("url", NEVER)
def test_a_server_at_a_forbidden_address_is_422_and_not_added(hub: RunningHub, url: str) -> None:
    for private in (False, True):
        body = {"name": "evil", "url": url, "allow_private": private}
        answer = hub.ask("POST", "/api/mcp-servers", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "unprocessable")
        assert "url" in answer.json()["detail"]
    assert "evil" not in hub.ask("GET", "/api/mcp-servers").text


def test_the_shell_reports_a_forbidden_address(machine: Machine) -> None:
    ran = machine.run("mcp", "add", "evil", "http://169.254.169.254/latest", "--private")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("aish: url: 169.254.169.254 has the address")
    assert machine.run("mcp", "list", "--json").stdout == "[]\n"


def test_a_configured_url_at_a_forbidden_address_is_not_called(machine: Machine) -> None:
    valid = [url for url in NEVER if url.startswith("http://") and "@" not in url and url != "http://"]
    peers = {f"p{number}": url for number, url in enumerate(valid)}
    settings = {
        "providers": {name: {"base_url": url, "allow_private": True} for name, url in peers.items()},
        "mcp_servers": {name: {"url": url, "allow_private": True} for name, url in peers.items()},
        "specialists": {
            **{name: {"model": f"{name}/m"} for name in peers},
            **{f"t{name}": {"model": "offline", "mcp_servers": [name]} for name in peers},
        },
    }
    configure(machine, settings)
    for name, url in peers.items():
        for peer in (name, f"t{name}"):
            ran = machine.run(peer, "hi", variables={"OPENAI_API_KEY": "sk-sesame-1234"})
            assert (url, ran.returncode, ran.stdout) == (url, 1, "")
            assert "does not allow" in ran.stderr or "IPv4" in ran.stderr or "notation" in ran.stderr


@pytest.mark.parametrize("url", [url for url in NEVER if "@" in url or not url.startswith("http://")])
@pytest.mark.parametrize("place", ["providers", "mcp_servers"])
def test_a_configured_url_that_is_invalid_is_rejected(machine: Machine, place: str, url: str) -> None:
    key = "base_url" if place == "providers" else "url"
    configure(machine, {place: {"evil": {key: url}}, "specialists": {"apollo": {"model": "evil/m"}}})
    ran = machine.run("apollo", "hi")
    assert (ran.returncode != 0, ran.stdout) == (True, "")
    assert "secret@" not in ran.stderr


def configure(machine: Machine, settings: dict[str, Any]) -> None:
    machine.folder.mkdir(mode=0o700, exist_ok=True)
    (machine.folder / "config.yaml").write_text(json.dumps(settings))


class Recording(BaseHTTPRequestHandler):
    """Records requests. `to`: where they are redirected."""

    seen: list[str] = []  # noqa: RUF012  # a new one for each server
    to: str = ""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.seen.append(self.path)
        self.send_response(307 if self.to else 200)
        if self.to:
            self.send_header("Location", self.to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, format: str, *arguments: Any) -> None: ...


@contextmanager
def recording(to: str = "") -> Iterator[tuple[str, list[str]]]:
    """Run a web server; yield its URL, and the paths of the requests to it."""
    seen: list[str] = []
    handler = type("Handler", (Recording,), {"seen": seen, "to": to})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", seen
        finally:
            server.shutdown()


def test_redirects_of_providers_and_servers_are_not_followed(machine: Machine) -> None:
    with recording() as (target, reached), recording(f"{target}/stolen") as (url, asked):
        settings = {
            "providers": {
                "moved": {"base_url": f"{url}/v1"},
                "gone": {"kind": "anthropic", "base_url": f"{url}/v1"},
            },
            "specialists": {
                "apollo": {"model": "moved/m"},
                "athena": {"model": "gone/m"},
                "numa": {"mcp_servers": ["moved"]},
            },
            "mcp_servers": {"moved": {"url": f"{url}/mcp", "allow_private": True}},
        }
        configure(machine, settings)
        keys = {"OPENAI_API_KEY": "sk-sesame-1234", "ANTHROPIC_API_KEY": "sk-sesame-5678"}
        for peer in ("apollo", "athena", "numa"):
            before = len(asked)
            ran = machine.run(peer, "hi", variables=keys)
            assert (ran.returncode, ran.stdout) != (0, ""), ran.stderr
            assert len(asked) > before or peer == "numa"
        machine.run("mcp", "test", "moved")
        assert any(path.startswith("/mcp") for path in asked)
        assert reached == []
