"""The senders of notifications, with real servers and programs on this machine."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import web

from rhetor.domain.notification import NotDelivered, Notification, Recipient
from rhetor.drivers.models.urls import Reach
from rhetor.drivers.notifications import command, posting
from rhetor.drivers.notifications.command import Command
from rhetor.drivers.notifications.desktop import Desktop
from rhetor.drivers.notifications.ntfy import Ntfy
from rhetor.drivers.notifications.webhook import Webhook

pytestmark = pytest.mark.anyio
PHONE = Recipient("phone", "webhook", frozenset(["turn.failed"]))
TOLD = Notification(
    "n_1",
    "turn.failed",
    "2026-11-30T09:00:00.000Z",
    'apollo failed: "; rm -rf / <b>ü</b>',
    "apollo",
    "s_1",
    None,
    "t_1",
)
SECRETS = {"HOOK_KEY": "the key", "NTFY_TOKEN": "tk_1"}
LOOPBACK = Reach(loopback=True)


@asynccontextmanager
async def server(*statuses: int) -> AsyncIterator[tuple[str, list[tuple[web.Request, bytes]]]]:
    """Run a server that answers with these statuses, then with 200. Yield its URL, and what it receives."""
    heard: list[tuple[web.Request, bytes]] = []
    left = list(statuses)

    async def answer(request: web.Request) -> web.Response:
        heard.append((request, await request.read()))
        status = left.pop(0) if left else 200
        return web.Response(status=status, headers={"location": "/elsewhere"} if status == 302 else {})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{port}", heard
    finally:
        await runner.cleanup()


async def failure(sending: Any) -> NotDelivered:
    with pytest.raises(NotDelivered) as raised:
        await sending
    return raised.value


async def test_a_webhook_gets_json_with_an_id_and_a_signature_of_exactly_these_bytes() -> None:
    async with server() as (url, heard):
        await Webhook(PHONE, f"{url}/hook?x=1", LOOPBACK, SECRETS, "HOOK_KEY").send(TOLD)
    [(request, body)] = heard
    assert (request.method, request.path_qs) == ("POST", "/hook?x=1")
    assert request.headers["Host"] == url.removeprefix("http://")
    assert request.headers["X-Rhetor-Id"] == "n_1"
    expected = hmac.new(b"the key", body, hashlib.sha256).hexdigest()
    assert request.headers["X-Rhetor-Signature"] == f"sha256={expected}"
    assert json.loads(body) == {
        "id": "n_1",
        "type": "turn.failed",
        "at": "2026-11-30T09:00:00.000Z",
        "text": TOLD.text,
        "peer": "apollo",
        "session_id": "s_1",
        "plan_id": None,
        "turn_id": "t_1",
        "data": {},
    }


async def test_ntfy_gets_the_text_with_a_title_and_the_token() -> None:
    async with server() as (url, heard):
        await Ntfy(PHONE, f"{url}/topic", LOOPBACK, SECRETS, "NTFY_TOKEN").send(TOLD)
        await Ntfy(PHONE, f"{url}/topic", LOOPBACK, SECRETS).send(TOLD)
    (request, body), (plain, _) = heard
    assert (request.path, body.decode()) == ("/topic", TOLD.text)
    shown = {name: request.headers[name] for name in ("Title", "Tags", "Priority", "X-Rhetor-Id")}
    assert shown == {"Title": "Turn failed", "Tags": "x", "Priority": "3", "X-Rhetor-Id": "n_1"}
    assert request.headers["Authorization"] == "Bearer tk_1"
    assert "Authorization" not in plain.headers


async def test_every_other_answer_than_2xx_is_a_failure_and_redirects_are_not_followed() -> None:
    async with server(500, 302, 204) as (url, heard):
        hook = Webhook(PHONE, f"{url}/hook", LOOPBACK, SECRETS, "HOOK_KEY")
        assert (await failure(hook.send(TOLD))).detail == "127.0.0.1 answered with status 500"
        assert (await failure(hook.send(TOLD))).detail == "127.0.0.1 answered with status 302"
        await hook.send(TOLD)
        assert [request.path for request, _ in heard] == ["/hook"] * 3


async def test_a_missing_secret_is_a_failure_that_names_the_variable_and_nothing_is_sent() -> None:
    async with server() as (url, heard):
        hook = Webhook(PHONE, url, LOOPBACK, {}, "HOOK_KEY")
        fault, told = hook.fault(), await failure(hook.send(TOLD))
        assert fault is not None and fault.detail == told.detail
        assert Webhook(PHONE, url, LOOPBACK, SECRETS, "HOOK_KEY").fault() is None
        assert (told.detail, told.hint) == (
            "the hub has no variable HOOK_KEY",
            "set HOOK_KEY where the hub is started",
        )
        assert heard == []


async def test_a_server_that_is_down_or_silent_is_a_failure_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hook = Ntfy(PHONE, f"http://127.0.0.1:{silent.getsockname()[1]}/x", LOOPBACK, {})
        assert (await failure(hook.send(TOLD))).detail == "127.0.0.1 did not answer within 0.2 s"
    told = await failure(hook.send(TOLD))
    assert told.detail == "127.0.0.1 cannot be reached: Connection refused"


@pytest.mark.parametrize(
    ("address", "reach", "hint"),
    [
        ("10.0.0.1", LOOPBACK, "set allow_private: true in this entry of notify"),
        ("169.254.169.254", Reach(loopback=True, private=True), ""),
    ],
)
async def test_addresses_that_are_not_allowed_are_not_called_whatever_the_name_is(
    address: str, reach: Reach, hint: str
) -> None:
    async def resolve(host: str) -> list[ipaddress.IPv4Address]:
        return [ipaddress.IPv4Address(address)]

    hook = Webhook(PHONE, "http://hooks.example.com/x", reach, SECRETS, "HOOK_KEY", resolve)
    told = await failure(hook.send(TOLD))
    assert (told.detail, told.hint) == (
        f"hooks.example.com has the address {address}, which the configuration does not allow",
        hint,
    )


def script(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


RECORD = (
    "import json, os, sys\njson.dump([sys.argv[1:], sys.stdin.read(), dict(os.environ)], open('said', 'w'))\n"
)


async def test_a_command_gets_json_on_stdin_and_variables_and_nothing_is_run_by_a_shell(
    tmp_path: Path,
) -> None:
    program = script(tmp_path, "tell", RECORD)
    environment = {"PATH": os.environ["PATH"], "HOOK_KEY": "k", "OPENAI_API_KEY": "sk"}
    argv = (program, "$RHETOR_TEXT; touch pwned", "-x")
    await Command(PHONE, argv, environment, str(tmp_path), "HOOK_KEY").send(TOLD)
    arguments, stdin, variables = json.loads((tmp_path / "said").read_text())
    assert arguments == ["$RHETOR_TEXT; touch pwned", "-x"]
    assert json.loads(stdin)["text"] == TOLD.text
    told = {name: value for name, value in variables.items() if name.startswith("RHETOR_")}
    assert told == {
        "RHETOR_EVENT": "turn.failed",
        "RHETOR_NOTIFICATION_ID": "n_1",
        "RHETOR_AT": "2026-11-30T09:00:00.000Z",
        "RHETOR_TEXT": TOLD.text,
        "RHETOR_PEER": "apollo",
        "RHETOR_SESSION_ID": "s_1",
        "RHETOR_TURN_ID": "t_1",
    }
    assert (variables["HOOK_KEY"], "OPENAI_API_KEY" in variables) == ("k", False)
    assert sorted(os.listdir(tmp_path)) == ["said", "tell"]  # noqa: PTH208


async def test_a_command_that_fails_or_does_not_end_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sender(*argv: str) -> Command:
        return Command(PHONE, argv, {"PATH": os.environ["PATH"]}, str(tmp_path))

    told = await failure(sender("sh", "-c", "echo first >&2; echo no network >&2; exit 3").send(TOLD))
    assert told.detail == "sh exited with 3: no network"
    assert (await failure(sender("sh", "-c", "kill -9 $$").send(TOLD))).detail == "sh was ended by signal 9"
    fault, told = sender("no-such").fault(), await failure(sender("no-such").send(TOLD))
    assert fault is not None and fault.detail == told.detail == "no program no-such on the PATH of the hub"
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o755)
    assert "cannot be started" in (await failure(sender(str(tmp_path / "text")).send(TOLD))).detail
    # what it leaves running does not count
    await sender("sh", "-c", "sleep 0.3 & exit 0").send(TOLD)
    monkeypatch.setattr(command, "SECONDS", 0.2)
    told = await failure(sender("sh", "-c", "echo $$ > pid; sleep 60; true").send(TOLD))
    assert told.detail == "sh did not end within 0.2 s"
    with pytest.raises(ProcessLookupError):
        while True:  # its group was killed, and ends soon
            os.killpg(int((tmp_path / "pid").read_text()), 0)
            await asyncio.sleep(0.01)


@pytest.mark.long
def test_a_program_that_ends_without_reading_has_been_notified(tmp_path: Path) -> None:
    sender = Command(PHONE, ("true",), {"PATH": os.environ["PATH"]}, str(tmp_path))

    async def send() -> None:
        for _ in range(20):
            await sender.send(TOLD)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the loop of the hub
        runner.run(send())


async def test_the_desktop_is_notified_by_the_program_of_the_system_with_escaped_text(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path), "DISPLAY": ":7"}
    desktop = Desktop(PHONE, environment, str(tmp_path), "linux")
    fault, told = desktop.fault(), await failure(desktop.send(TOLD))
    assert fault is not None and (fault.detail, fault.hint) == (told.detail, told.hint)
    assert told.detail == "no program notify-send on the PATH of the hub"
    assert told.hint == "install libnotify (notify-send), and start the hub in the desktop session"
    script(tmp_path, "notify-send", RECORD)
    assert desktop.fault() is None
    await desktop.send(TOLD)
    arguments, _, variables = json.loads((tmp_path / "said").read_text())
    assert arguments == ["--app-name=aish", "--", "aish", 'apollo failed: "; rm -rf / &lt;b&gt;ü&lt;/b&gt;']
    assert variables["DISPLAY"] == ":7"
    script(tmp_path, "osascript", RECORD)
    await Desktop(PHONE, environment, str(tmp_path), "darwin").send(TOLD)
    arguments, _, _ = json.loads((tmp_path / "said").read_text())
    assert arguments[-2:] == ["aish", TOLD.text]
    assert TOLD.text not in " ".join(arguments[:-1])


def test_senders_that_do_the_same_are_equal() -> None:
    """A reload lets what they are sending go on."""
    make: Callable[[str], Webhook] = lambda url: Webhook(PHONE, url, LOOPBACK, SECRETS, "HOOK_KEY")  # noqa: E731
    assert make("http://a.example") == make("http://a.example")
    assert make("http://a.example") != make("http://b.example")
