"""`aish console` and `rhetor console` with a real hub, up to the page that a browser gets."""

from __future__ import annotations

import http.client
import re
from urllib.parse import urlsplit

import pytest
from tests.e2e.home import SECONDS, Machine

NO_BROWSER = {"BROWSER": "", "DISPLAY": "", "WAYLAND_DISPLAY": "", "SSH_CONNECTION": "", "SSH_TTY": ""}


@pytest.fixture
def offline(machine: Machine) -> Machine:
    machine.environment |= {"RHETOR_MODELS__DEFAULT": "offline", **NO_BROWSER}
    return machine


def get(url: str, **headers: str) -> http.client.HTTPResponse:
    """Send a request to the hub at this URL, whose name is one of the loopback interface."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=SECONDS)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    connection.request("GET", path, headers={"Host": parts.netloc, "Sec-Fetch-Site": "none", **headers})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


@pytest.mark.long
def test_the_link_of_both_commands_logs_in_a_browser_and_a_hub_is_started_for_it(offline: Machine) -> None:
    for ran in (offline.run("console"), offline.rhetor("console", "--print")):
        assert ran.returncode == 0, ran.stderr
        url = ran.stdout.strip()
        assert re.fullmatch(r"http://[0-9a-f]{16}\.localhost:\d+/login\?code=[\w-]+", url)
        answer = get(url)
        assert (answer.status, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"].partition(";")[0]
        assert get(url.partition("login")[0], Cookie=cookie).status == 200
        assert get(url).status == 401
