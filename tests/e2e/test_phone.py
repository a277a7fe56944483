"""The hub's own CA, and a phone that logs in with a QR code."""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import ssl
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.e2e.home import SECONDS, Machine
from tests.e2e.test_tls import serving
from tests.qr_reading import modules_in, read

from rhetor.certificates import DAYS, Files, create

NAMES = ("box.local", "192.168.77.20")


def own(machine: Machine) -> Files:
    return Files(machine.folder / "tls")


def flags(files: Files) -> tuple[str, ...]:
    return ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))


def get(url: str, files: Files, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    """Send a request to a hub on this machine as a device that trusts its CA sends it to this URL."""
    place, _, path = url.removeprefix("https://").partition("/")
    name, _, port = place.rpartition(":")
    context = ssl.create_default_context(cafile=str(files.authority))
    with socket.create_connection(("127.0.0.1", int(port)), SECONDS) as plain:
        secure = context.wrap_socket(plain, server_hostname=name)
        connection = http.client.HTTPConnection(place, timeout=SECONDS)
        connection.sock = secure
        connection.request("GET", f"/{path}", headers={"Host": place, "Sec-Fetch-Site": "none", **headers})
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response, body


@pytest.mark.long
def test_a_phone_logs_in_with_the_qr_code_that_the_command_prints(machine: Machine) -> None:
    machine.environment["RHETOR_MODELS__DEFAULT"] = "offline"
    created = machine.rhetor("cert", "create", *NAMES)
    assert created.returncode == 0, created.stderr
    files = own(machine)
    with serving(machine, "--host", "0.0.0.0", *flags(files)) as base:
        ran = machine.run("console", "--phone", "--at", "192.168.77.20")
        assert ran.returncode == 0, ran.stderr
        *picture, sentence = ran.stdout.splitlines()
        url = read(modules_in("\n".join(picture)), dark="0")
        port = base.rpartition(":")[2]
        assert url and url.startswith(f"https://192.168.77.20:{port}/login?code=")
        typed = rf"Scan the QR code, or open https://192\.168\.77\.20:{port} and type (.*)"
        code = re.fullmatch(typed, sentence)
        assert code and code[1].replace("-", "") == url.rpartition("=")[2]
        once, install, digest = ran.stderr.splitlines()
        assert once == "The code works once, within 60 s."
        assert install == f"On a new phone, first install the hub's CA: https://192.168.77.20:{port}/ca.crt"
        assert f"  {digest}\n" in created.stdout
        authority, body = get(f"https://192.168.77.20:{port}/ca.crt", files)
        assert (authority.status, body) == (200, files.authority.read_bytes())
        answer, _ = get(url, files)
        assert (answer.status, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"].partition(";")[0]
        assert get(f"https://192.168.77.20:{port}/", files, Cookie=cookie)[0].status == 200
        assert get(f"https://box.local:{port}/", files, Cookie=cookie)[0].status == 401
        assert get(url, files)[0].status == 401


@pytest.mark.long
def test_without_tls_the_command_names_the_settings_that_are_missing(machine: Machine) -> None:
    machine.environment["RHETOR_MODELS__DEFAULT"] = "offline"
    ran = machine.run("console", "--phone")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.splitlines() == [
        "aish: no other device can open the console: hub.host is an address that only this machine can "
        "reach; hub.tls_cert is not set; hub.tls_key is not set",
        "run `rhetor cert create`, set hub.host, hub.tls_cert, hub.tls_key, and start the hub again",
    ]


@pytest.mark.long
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_accepts_the_chain_for_the_names_of_the_certificate_and_for_no_others(tmp_path: Path) -> None:
    files = Files(tmp_path)
    create(files, NAMES)

    def verify(*of: str) -> int:
        command: list[str | Path] = [
            "openssl",
            "verify",
            "-purpose",
            "sslserver",
            "-x509_strict",
            "-CAfile",
            files.authority,
        ]
        return subprocess.run([*command, *of, files.certificate], capture_output=True).returncode

    assert verify() == verify("-verify_hostname", "box.local") == verify("-verify_ip", "192.168.77.20") == 0
    assert verify("-verify_hostname", "tv.local") != 0
    assert verify("-verify_ip", "192.168.77.21") != 0


@pytest.mark.long
def test_a_running_hub_renews_its_own_certificate_and_uses_it_without_a_restart(machine: Machine) -> None:
    machine.environment["RHETOR_MODELS__DEFAULT"] = "offline"
    machine.folder.mkdir(mode=0o700)
    files, soon = own(machine), datetime.now(UTC) - timedelta(days=DAYS - 30)
    before = create(files, NAMES, soon)
    authority = files.authority.read_bytes()
    with serving(machine, "--host", "0.0.0.0", *flags(files)) as base:
        context = ssl.create_default_context(cafile=str(files.authority))

        def served() -> str:
            port = int(base.rpartition(":")[2])
            plain = socket.create_connection(("127.0.0.1", port), SECONDS)
            with context.wrap_socket(plain, server_hostname="box.local") as secure:
                return str((secure.getpeercert() or {})["notAfter"])

        deadline, first = time.monotonic() + SECONDS, f"{before.expires:%b %e %H:%M:%S %Y} GMT"
        while served() == first:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert datetime.strptime(served(), "%b %d %H:%M:%S %Y GMT").date() > before.expires.date()
    assert files.authority.read_bytes() == authority
