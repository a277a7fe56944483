"""`rhetor token issue|list|revoke` and `rhetor keys rotate --signing` with a real hub."""

from __future__ import annotations

import asyncio
import json
import signal
import urllib.error
import urllib.request

import pytest
from tests.e2e.home import SECONDS, Machine
from tests.e2e.test_life import ended, running
from tests.oidc import issuing


def status(url: str, token: str) -> int:
    request = urllib.request.Request(f"{url}/api/v2/ai", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request) as answer:
            found: int = answer.status
            return found
    except urllib.error.HTTPError as refused:
        refused.close()
        return refused.code


def printed(machine: Machine, *arguments: str) -> str:
    done = machine.rhetor(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refused(machine: Machine, *arguments: str) -> tuple[int, str]:
    done = machine.rhetor(*arguments)
    assert done.stdout == ""
    return done.returncode, done.stderr.strip()


@pytest.mark.long
def test_issued_tokens_live_until_they_are_revoked_also_if_the_hub_is_killed(machine: Machine) -> None:
    hub = running(machine, "--port", "0")
    token = printed(machine, "token", "issue", "ci", "--scopes", "read,send").strip()
    gone = printed(machine, "token", "issue", "gone", "--scopes", "read", "--ttl", "3600").strip()
    assert printed(machine, "token", "revoke", "gone") == "revoked gone\n"
    url = machine.status()["url"]
    assert [status(url, each) for each in (token, gone, token + "x")] == [200, 401, 401]
    hub.send_signal(signal.SIGKILL)
    hub.wait(SECONDS)
    assert hub.stdout is not None
    hub.stdout.close()
    hub = running(machine, "--port", "0")
    url = machine.status()["url"]
    assert [status(url, each) for each in (token, gone)] == [200, 401]
    (listed,) = json.loads(printed(machine, "token", "list", "--json"))
    assert (listed["name"], listed["scopes"], listed["renewable"]) == ("ci", ["read", "send"], False)
    lines = printed(machine, "keys", "rotate", "--signing").splitlines()
    assert lines[0].startswith("new tokens are signed with the key ")
    assert lines[1].endswith("; that ends 1 token early: ci")
    assert status(url, token) == 200
    until = lines[1].removeprefix("the old key is valid until ").partition(";")[0]
    assert printed(machine, "token", "list") == f"ci: ci, read,send, until {until}\n"
    machine.end()
    assert ended(hub) == 0


@pytest.mark.long
def test_token_commands_say_what_is_wrong(machine: Machine) -> None:
    issue = ("token", "issue", "ci", "--scopes")
    assert refused(machine, *issue, "read")[0] == 1
    assert refused(machine, *issue, "read")[1].endswith("start one with: rhetor serve")
    hub = running(machine, "--port", "0")
    unknown = "unknown scope 'write'; the scopes are read, send, approve, admin, node"
    assert refused(machine, *issue, "read,write") == (2, f"rhetor: {unknown}")
    printed(machine, *issue, "read")
    assert refused(machine, *issue, "read") == (
        2,
        "rhetor: a token called 'ci' already exists; choose another name",
    )
    assert refused(machine, "token", "revoke", "none")[0] == 2
    assert "none" in refused(machine, "token", "revoke", "none")[1]
    machine.end()
    assert ended(hub) == 0


ISSUER = """
auth:
  issuers:
    team: {{issuer: "{url}", audience: rhetor, allow_private: {allowed}, scopes: [read]}}
"""


@pytest.mark.long
@pytest.mark.anyio
async def test_an_issuer_is_configured_and_removed_while_the_hub_is_running(machine: Machine) -> None:
    async with issuing() as oidc:
        machine.folder.mkdir(mode=0o700)
        config = machine.folder / "config.yaml"
        config.write_text(ISSUER.format(url=oidc.url, allowed="true"))
        hub = await asyncio.to_thread(running, machine, "--port", "0")
        url, token = (await asyncio.to_thread(machine.status))["url"], oidc.token("ES256", "ec")
        assert await asyncio.to_thread(status, url, token) == 200
        config.write_text("")
        assert await asyncio.to_thread(printed, machine, "reload") == "changed: auth.issuers.team\n"
        assert await asyncio.to_thread(status, url, token) == 401
        config.write_text(ISSUER.format(url=oidc.url, allowed="perhaps"))
        code, reason = await asyncio.to_thread(refused, machine, "reload")
        assert (code, "auth.issuers.team.allow_private: must be true or false" in reason) == (2, True)
        await asyncio.to_thread(machine.end)
        assert ended(hub) == 0
