"""Codes for other devices, and the names at which those log in."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rhetor.auth.addresses import Addresses
from rhetor.certificates import DAYS, create
from tests.callers import caller, cookie_of
from tests.certificates import Issued
from tests.qr_reading import read, with_border
from tests.served import CONSOLE, Answer, Served, served

pytestmark = pytest.mark.anyio
NETWORK = {"for": "network"}
NAMES = ("box.local", "192.0.2.7", "127.0.0.2")


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    return Issued.into(tmp_path / "tls", *NAMES)


@asynccontextmanager
async def open_hub(folder: Path, issued: Issued) -> AsyncIterator[Served]:
    """A hub that other devices can reach."""
    async with served(folder, certificate=issued.served) as home:
        home.node.certificate = issued.served
        names = ("box.local", "192.0.2.7", "[fd00::7]", "localhost")
        home.node.addresses = Addresses(home.port, CONSOLE, tls=True, names=names, for_network=True)
        yield home


async def link(home: Served, **body: Any) -> dict[str, Any]:
    answer = await home.ask("POST", "/api/auth/code", {**NETWORK, **body})
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


async def open_link(home: Served, trust: ssl.SSLContext, code: str, host: str, path: str = "") -> Answer:
    headers = {"host": f"{host}:{home.port}"}
    return await home.ask_tcp("GET", path or f"/login?code={code}", headers, ssl=trust)


async def test_the_qr_code_of_a_link_logs_in_a_device_once(tmp_path: Path, issued: Issued) -> None:
    async with open_hub(tmp_path, issued) as home:
        trust, found = issued.trusting(), await link(home)
        url = f"https://box.local:{home.port}"
        assert found["url"] == f"{url}/login?code={found['code'].replace('-', '')}"
        assert read(with_border(found["qr"])) == found["url"]
        answer = await open_link(home, trust, found["code"], "box.local")
        assert answer.status == 303
        assert {"Secure", "HttpOnly", "Path=/"} <= set(answer.headers["set-cookie"].split("; "))
        page = {"cookie": cookie_of(answer), "origin": url, "host": f"box.local:{home.port}"}
        assert page["cookie"].startswith("__Host-rhetor=")
        assert (await home.ask_tcp("GET", "/api/v2/ai", page, ssl=trust)).status == 200
        for host in ("192.0.2.7", CONSOLE, "localhost", "127.0.0.1"):
            there = {**page, "host": f"{host}:{home.port}"}
            assert (await home.ask_tcp("GET", "/api/v2/ai", there, ssl=trust)).status == 401
        assert (await open_link(home, trust, found["code"], "box.local")).status == 401


async def test_a_code_for_the_network_is_invalid_on_this_machine_and_the_other_way_round(
    tmp_path: Path, issued: Issued
) -> None:
    async with open_hub(tmp_path, issued) as home:
        trust, found = issued.trusting(), await link(home)
        here = (await home.ask("POST", "/api/auth/code")).json
        assert here["url"].startswith(f"https://{CONSOLE}:")
        assert (here["qr"], here["ca"]) == (None, None)
        assert (await open_link(home, trust, found["code"], CONSOLE)).status == 401
        assert (await open_link(home, trust, here["code"], "box.local")).status == 401
        assert (await open_link(home, trust, found["code"], "localhost")).status == 421
        assert (await open_link(home, trust, here["code"], CONSOLE)).status == 303
        assert (await open_link(home, trust, found["code"], "[fd00::7]")).status == 303


async def test_a_page_on_another_device_requests_codes_for_itself_at_its_own_address(
    tmp_path: Path, issued: Issued
) -> None:
    async with open_hub(tmp_path, issued) as home:
        trust = issued.trusting()
        headers = {**await caller(home), "host": f"192.0.2.7:{home.port}"}
        found = (await home.ask_tcp("POST", "/api/auth/code", headers, ssl=trust)).json
        assert found["url"].startswith(f"https://192.0.2.7:{home.port}/login?")
        assert (await open_link(home, trust, found["code"], "192.0.2.7")).status == 303


async def test_the_caller_chooses_the_name_or_gets_an_address_of_this_machine(
    tmp_path: Path, issued: Issued
) -> None:
    async with open_hub(tmp_path, issued) as home:
        for host, expected in (
            ("BOX.local", "box.local"),
            ("192.0.2.7", "192.0.2.7"),
            ("fd00::7", "[fd00::7]"),
        ):
            assert (await link(home, host=host))["url"].startswith(f"https://{expected}:")
        for host in ("evil.example", "localhost", "127.0.0.1", ""):
            refused = await home.ask("POST", "/api/auth/code", {**NETWORK, "host": host})
            assert (refused.status, refused.json["code"]) == (422, "unprocessable")
        only = await home.ask("POST", "/api/auth/code", {"host": "box.local"})
        assert (only.status, only.json["detail"]) == (422, "body.host: only allowed with `for: network`")


@pytest.mark.parametrize(
    ("tls", "missing"),
    [(False, ["hub.host", "hub.tls_cert", "hub.tls_key"]), (True, ["hub.host"])],
)
async def test_a_hub_that_no_other_device_can_reach_names_the_settings(
    tmp_path: Path, issued: Issued, tls: bool, missing: list[str]
) -> None:
    certificate = issued.served if tls else None
    async with served(tmp_path, certificate=certificate) as home:
        home.node.certificate = certificate
        refused = await home.ask("POST", "/api/auth/code", NETWORK)
        assert (refused.status, refused.json["code"]) == (409, "not_on_network")
        assert refused.json["missing"] == missing
        for setting in missing:
            assert setting in refused.json["detail"] and setting in refused.json["hint"]
        assert not len(home.node.logins.codes)


async def test_a_certificate_that_no_device_accepts_is_named(tmp_path: Path, issued: Issued) -> None:
    async with open_hub(tmp_path, issued) as home:
        create(issued.files, NAMES, datetime.now(UTC) - timedelta(days=DAYS + 1))
        home.node.certificate = issued.served
        expired = await home.ask("POST", "/api/auth/code", NETWORK)
        assert (expired.status, expired.json["missing"]) == (409, ["hub.tls_cert"])
        assert "the certificate has expired" in expired.json["detail"]
        create(issued.files, ["localhost"])
        home.node.certificate = issued.served
        home.node.addresses = Addresses(home.port, CONSOLE, tls=True, names=["localhost"], for_network=True)
        nameless = await home.ask("POST", "/api/auth/code", NETWORK)
        assert "only names of this machine" in nameless.json["detail"]


async def test_a_device_gets_the_ca_without_a_login_and_recognizes_it(tmp_path: Path, issued: Issued) -> None:
    async with open_hub(tmp_path, issued) as home:
        found, trust = await link(home), issued.trusting()
        answer = await open_link(home, trust, "", "box.local", "/ca.crt")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/x-x509-ca-cert")
        assert answer.text == issued.files.authority.read_text()
        assert found["ca"]["url"] == f"https://box.local:{home.port}/ca.crt"
        assert found["ca"]["sha256"] == create(issued.files, NAMES).fingerprint
        chain = issued.files.certificate.read_text()
        leaf = chain[: chain.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----\n"
        issued.files.certificate.write_text(leaf)  # as of a public CA, whose own certificate is not there
        home.node.certificate = issued.served
        assert (await link(home))["ca"] is None
        assert (await open_link(home, trust, "", "box.local", "/ca.crt")).status == 404
