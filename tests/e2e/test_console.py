"""`aish console` and `rhetor console` with a real hub, up to the page that a browser gets."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
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


@pytest.mark.long
def test_a_browser_stays_logged_in_when_the_hub_is_killed_until_the_token_is_replaced(
    offline: Machine,
) -> None:
    url = offline.run("console", "--print").stdout.strip()
    cookie = get(url).headers["set-cookie"].partition(";")[0]
    offline.kill_hub()
    again = offline.run("console", "--print").stdout.strip()
    assert urlsplit(again).hostname == urlsplit(url).hostname
    place = again.partition("login")[0]
    assert get(place, Cookie=cookie).status == 200
    offline.rhetor("token", "--rotate")
    assert get(place, Cookie=cookie).status == 401
    offline.kill_hub()
    renamed = offline.run("console", "--print").stdout.strip()
    assert urlsplit(renamed).hostname != urlsplit(url).hostname


@pytest.mark.long
@pytest.mark.skipif(os.getuid() != 0, reason="only root can run a program as another user")
def test_another_user_of_this_machine_cannot_use_the_code(offline: Machine) -> None:
    """The hub runs as root here, so the other user is nobody."""
    url = offline.run("console", "--print").stdout.strip()
    parts = urlsplit(url)
    request = f"GET {parts.path}?{parts.query} HTTP/1.0\\r\\nHost: {parts.netloc}\\r\\n\\r\\n"
    script = f"exec 3<>/dev/tcp/127.0.0.1/{parts.port}; printf '{request}' >&3; cat <&3"
    stolen = subprocess.run(
        ["bash", "-c", script], user=65534, group=65534, capture_output=True, text=True, cwd="/"
    )
    assert stolen.stdout.startswith("HTTP/1.1 403"), stolen
    assert "only the user who runs the hub can log in on this machine" in stolen.stdout
    assert get(url).status == 303


@pytest.mark.long
def test_a_login_is_listed_and_ended_from_the_shell(offline: Machine) -> None:
    url = offline.run("console", "--print").stdout.strip()
    answer = get(url, **{"User-Agent": "Firefox/145.0 (Linux)\x9b31m"})  # a control sequence in one byte
    cookie = answer.headers["set-cookie"].partition(";")[0]
    listed = offline.run("console", "logins")
    (row,) = listed.stdout.splitlines()[1:]
    assert "Firefox, Linux" in row and "\x9b" not in listed.stdout
    id = row.split()[0]
    ended = offline.run("console", "logout", id[:6])
    assert (ended.returncode, ended.stdout) == (0, f"Ended the login {id}\n"), ended.stderr
    assert get(url.partition("login")[0], Cookie=cookie).status == 401
    assert offline.run("console", "logout", "--all").stdout == "Ended 0 logins\n"
