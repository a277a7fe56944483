"""Paths that lead elsewhere, in the URL of every route and in every body that has a path."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.hostile.running import RunningHub, at_a_port

from rhetor.routes import TABLE
from rhetor.transports.console.page import page
from rhetor.transports.console.table import VIEWS as VIEW_ROWS

pytestmark = pytest.mark.long

FORMS = (
    "../token",
    "..%2ftoken",
    "%2e%2e/token",
    "%2e%2e%2ftoken",
    "%252e%252e%252ftoken",
    "..\\token",
    "..%5ctoken",
    "....//token",
    "%c0%ae%c0%ae%c0%aftoken",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "file:%2f%2f%2fetc%2fpasswd",
    "a%00b",
    "%00",
    ".",
    "..",
)
VIEWS = {row.path for row in VIEW_ROWS}
NAMED = sorted({row.path for row in TABLE if "{" in row.path})


def get(hub: RunningHub, path: str) -> tuple[int, bytes]:
    """Send a GET whose target is not normalized."""
    host = hub.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=30)
    try:
        connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", host)
        connection.putheader("Authorization", str(hub.session.headers["authorization"]))
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read(1 << 20)
    finally:
        connection.close()


@pytest.mark.parametrize("path", NAMED)
def test_a_name_in_the_path_reaches_no_file(hub: RunningHub, path: str) -> None:
    token = str(hub.session.headers["authorization"]).removeprefix("Bearer ").encode()
    before, _, after = path.partition("{")
    rest = after.partition("}")[2].replace("{", "").replace("}", "")
    for form in FORMS:
        status, body = get(hub, f"{before}{form}{rest}")
        nobody_has_it = (status, body) == (200, b"[]")  # the peers that have a capability of this name
        # the browser reads the name in the address of a view
        is_page = status == 200 and path in VIEWS and body == page(inline_styles="/terminals/" in path).html
        assert nobody_has_it or is_page or status in (400, 404, 405, 422), (form, status, body[:200])
        assert token not in body and b"root:" not in body


@pytest.mark.parametrize(
    "where", ["../x", "x/../../etc", "relative", "", "~root", "~nobody/x", "/tmp\0/x", "\0"]
)
def test_a_path_that_is_not_absolute_or_has_nul_is_rejected(hub: RunningHub, where: str) -> None:
    program = {"name": "b", "kind": "stdio", "argv": ["x"], "cwd": where, "env": {}}
    owners: list[tuple[str, Any]] = [("/api/v2/imports", {"paths": [where]}), ("/api/v2/programs", program)]
    message = {"content": "hi", "cwd": where}
    others: list[tuple[str, Any]] = [
        ("/api/v2/ai/apollo/message", message),
        ("/api/projects", {"name": "evil", "path": where}),
    ]
    with at_a_port(hub.socket) as url:
        host = {"host": "localhost"}
        answers = [requests.post(url + path, json=body, headers=host, timeout=30) for path, body in owners]
    answers += [hub.ask("POST", path, json=body) for path, body in others]
    for answer in answers:
        assert answer.status_code in (400, 403, 422), (answer.url, answer.text)
    assert "evil" not in hub.ask("GET", "/api/projects").text


def test_a_link_leads_a_project_to_no_folder_that_is_not_allowed(hub: RunningHub, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (tmp_path / "link").symlink_to("/etc")
    for where in (tmp_path / "link", tmp_path / "link" / ".." / "etc", Path("/proc/self/root/etc"), secret):
        answer = hub.ask("POST", "/api/projects", json={"name": "evil", "path": str(where)})
        assert answer.status_code in (403, 422), (where, answer.text)


def test_only_the_owner_imports_transcripts_and_no_link_is_followed(hub: RunningHub, tmp_path: Path) -> None:
    assert hub.ask("POST", "/api/v2/imports", json={"paths": ["/etc/passwd"]}).status_code == 403
    (tmp_path / "x.jsonl").symlink_to("/etc/passwd")
    with at_a_port(hub.socket) as url:
        for path in ("/etc/passwd", str(tmp_path / "x.jsonl"), "/dev/zero", "/proc/self/environ"):
            body, headers = {"paths": [path]}, {"host": "localhost"}
            answer = requests.post(f"{url}/api/v2/imports", json=body, headers=headers, timeout=30)
            assert answer.status_code == 200, answer.text
            assert "root:" not in answer.text and "PATH=" not in answer.text
    assert "root:x:" not in hub.ask("GET", "/api/v2/history?limit=500").text
