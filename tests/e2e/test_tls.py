"""A hub with TLS, as a user and other machines see it."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Issued
from tests.e2e.home import BIN, SECONDS, Machine


@contextmanager
def serving(machine: Machine, *flags: str) -> Iterator[str]:
    """`rhetor serve` with these flags; its URL."""
    hub = subprocess.Popen(
        [f"{BIN}/rhetor", "serve", "--port", "0", *flags],
        env=machine.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert hub.stdout is not None
    try:
        yield hub.stdout.readline().split(" and ")[0].removeprefix("rhetor listening on ")
    finally:
        hub.terminate()
        hub.stdout.close()
        assert hub.wait(SECONDS) == 0


def flags_of(issued: Issued) -> tuple[str, ...]:
    return ("--tls-cert", str(issued.files.certificate), "--tls-key", str(issued.files.key))


def get(url: str, trust: ssl.SSLContext, path: str, **headers: str) -> tuple[int, Any]:
    """Send a request to the port of this URL on the loopback interface."""
    connection = HTTPSConnection("127.0.0.1", int(url.rpartition(":")[2]), context=trust, timeout=SECONDS)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


@pytest.mark.long
def test_a_hub_that_other_machines_can_reach_has_tls_and_accepts_only_its_own_names(
    machine: Machine, tmp_path: Path
) -> None:
    issued = Issued.into(tmp_path / "tls", "box.local")
    trust = issued.trusting()
    with serving(machine, "--host", "0.0.0.0", *flags_of(issued)) as url:
        assert url.startswith("https://box.local:")
        port = url.rpartition(":")[2]
        assert machine.status()["url"] == url
        assert url in machine.run("status").stdout
        bearer = f"Bearer {(machine.folder / 'token').read_text().strip()}"
        own = {"Host": f"box.local:{port}", "Authorization": bearer}
        assert get(url, trust, "/api/v2/status", **own)[1]["url"] == url
        for changed, status in (
            ({"Authorization": "Bearer x"}, 401),
            ({"Host": f"evil:{port}"}, 421),
            ({"Origin": f"http://box.local:{port}"}, 403),
            ({"Origin": f"https://box.local:{port}"}, 200),
        ):
            answer = get(url, trust, "/api/v2/status", **{**own, **changed})
            assert (changed, answer[0]) == (changed, status)


@pytest.mark.long
def test_the_python_client_and_a_reload_work_with_tls(machine: Machine, tmp_path: Path) -> None:
    machine.environment["RHETOR_MODELS__DEFAULT"] = "offline"
    issued, other = Issued.into(tmp_path / "tls"), Issued.into(tmp_path / "other", "tv.local")
    machine.folder.mkdir(mode=0o700)
    config = machine.folder / "config.yaml"
    written = "hub: {{tls_cert: {0.certificate}, tls_key: {0.key}}}\n"
    config.write_text(written.format(issued.files))
    ask = (
        "import asyncio, aish, sys\n"
        "async def main():\n"
        "    async with aish.connect(url=sys.argv[1], token=open(sys.argv[2]).read()) as hub:\n"
        "        print((await hub.peers())[0].name)\n"
        "asyncio.run(main())\n"
    )
    with serving(machine) as url:
        assert url.startswith("https://127.0.0.1:")
        ran = subprocess.run(
            [sys.executable, "-c", ask, url, str(machine.folder / "token")],
            env={**machine.environment, "SSL_CERT_FILE": str(issued.files.authority)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert ran.returncode == 0, ran.stderr
        config.write_text(written.format(other.files))
        reloaded = machine.rhetor("reload")
        assert reloaded.stdout == "changed: hub.tls_cert, hub.tls_key\n", reloaded.stderr
        assert get(url, other.trusting(), "/healthz", Host="tv.local:" + url.rpartition(":")[2])[0] == 200
        with pytest.raises(ssl.SSLError):
            get(url, issued.trusting(), "/healthz")
        other.files.key.chmod(0o644)
        refused = machine.rhetor("reload")
        assert (refused.returncode, "other users have access" in refused.stderr) == (2, True)
        assert get(url, other.trusting(), "/healthz")[0] == 200
        config.write_text("hub: {}\n")
        assert machine.rhetor("reload").stdout == (
            "no changes to apply\ntakes effect when the hub restarts: hub.tls_cert, hub.tls_key\n"
        )
