"""Calls to providers on the wire: address, host name, TLS, proxies, and what the environment contributes."""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rhetor.domain.output import Done
from rhetor.domain.tool import Tool
from rhetor.drivers.base import HOPS, Prompt
from rhetor.drivers.model_tools.driver import with_tools
from rhetor.drivers.model_tools.mcp_server import Limits
from rhetor.drivers.model_tools.servers import ToolServers
from rhetor.drivers.models import sdks
from rhetor.drivers.models.deadline import Timeouts
from rhetor.drivers.models.network import certificates
from rhetor.drivers.models.resolve import ProviderEntry
from rhetor.drivers.models.target import Provider
from rhetor.drivers.models.urls import Address, Resolve, resolved
from rhetor.errors import ProviderFailed, ProviderTimeout, ProviderUnreachable
from tests.provider import Failure, ProviderServer, Script
from tests.rhetor.drivers.talk import APOLLO, apollo_says, chat_driver, openai_at

pytestmark = pytest.mark.anyio

CERTIFICATE = Path(__file__).with_name("models.example.pem")  # self-signed for that name, with its key
ANSWER = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\ndata: [DONE]\n\n'
SHORT = 1.0  # seconds, for the timeout under test
ROOT = Path(__file__).parents[4]


@dataclass
class FakeServer:
    """A server that gives every request the same answer, and keeps the heads and the TLS server names."""

    port: int = 0
    heads: list[list[str]] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)


@asynccontextmanager
async def fake_server(tls: bool = False, address: str = "127.0.0.1") -> AsyncIterator[FakeServer]:
    found = FakeServer()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.heads.append((await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER))
        await writer.drain()
        writer.close()

    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        context.sni_callback = lambda sock, name, _: found.names.append(name)
    async with await asyncio.start_server(answer, address, 0, ssl=context) as server:
        found.port = server.sockets[0].getsockname()[1]
        yield found


def at(*addresses: str) -> Resolve:
    async def resolve(host: str) -> list[Address]:
        return [ip_address(address) for address in addresses]

    return resolve


def environment_for(url: str) -> dict[str, str]:
    return {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": url, "RHETOR_MODEL": "m"}


async def test_tls_uses_the_requested_name_at_the_checked_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    async with fake_server(tls=True) as found:
        url = f"https://models.example:{found.port}/v1"
        outputs, failure = await apollo_says(environment_for(url), resolve=at("127.0.0.1"))
    assert (outputs[-1], failure) == (Done("stop"), None)
    assert found.names == ["models.example"]
    assert f"host: models.example:{found.port}" in [line.lower() for line in found.heads[0]]


@pytest.mark.parametrize(("trusted", "name"), [(False, "models.example"), (True, "another.example")])
async def test_a_server_with_an_invalid_certificate_gets_no_request(
    monkeypatch: pytest.MonkeyPatch, trusted: bool, name: str
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    async with fake_server(tls=True) as found:
        url = f"https://{name}:{found.port}/v1"
        _, failure = await apollo_says(environment_for(url), resolve=at("127.0.0.1"))
    assert isinstance(failure, ProviderUnreachable)
    assert "certificate" in failure.detail.lower()
    assert (found.names, found.heads) == ([name] * len(found.names), [])


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
async def test_a_proxy_from_the_environment_is_given_the_checked_address(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    async with fake_server() as proxy:
        monkeypatch.setenv(variable, f"http://me:secret@127.0.0.1:{proxy.port}")
        _, failure = await apollo_says(
            environment_for("http://models.example/v1"), resolve=at("93.184.216.34")
        )
    assert failure is None
    first, *headers = proxy.heads[0]
    assert first == "POST http://93.184.216.34/v1/chat/completions HTTP/1.1"
    assert {"host: models.example", "proxy-authorization: basic bwu6c2vjcmv0"} <= {h.lower() for h in headers}


@pytest.mark.usefixtures("no_proxies")
async def test_hosts_in_no_proxy_are_called_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "models.example")
    async with fake_server() as found:
        url = f"http://models.example:{found.port}/v1"
        _, failure = await apollo_says(environment_for(url), resolve=at("127.0.0.1"))
    assert failure is None
    assert found.heads[0][0] == "POST /v1/chat/completions HTTP/1.1"


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize("name", ["127.0.0.1", "models.example"])
async def test_loopback_addresses_are_never_called_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1" if name == "127.0.0.1" else "")
    async with fake_server() as found:
        _, failure = await apollo_says(
            environment_for(f"http://{name}:{found.port}/v1"), resolve=at("127.0.0.1")
        )
    assert failure is None
    assert found.heads[0][0] == "POST /v1/chat/completions HTTP/1.1"


HERE = [
    ("localhost", "127.0.0.1"),
    ("127.0.0.2", "127.0.0.2"),
    ("models.localhost", "127.0.0.1"),
    ("models.example", "127.0.0.1"),
    ("models.example", "127.0.1.1"),
]


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize("with_sdk", [False, True])
@pytest.mark.parametrize(("name", "address"), HERE)
async def test_no_name_of_this_machine_needs_leave_or_a_proxy_and_each_is_told_the_hops(
    monkeypatch: pytest.MonkeyPatch, name: str, address: str, with_sdk: bool
) -> None:
    """With tools, a turn uses the provider's SDK."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    HOPS.set(2)
    async with fake_server(address=address) as found:
        entry = ProviderEntry("openai", f"http://{name}:{found.port}/v1")
        more: dict[str, Any] = {"providers": {"box": entry}, "resolve": at(address)}
        async with chat_driver({}, **more) as driver:
            peer = replace(APOLLO, model="box/m")
            servers = ToolServers({}, {}, "/", Limits(60, 60))
            conversation = await (with_tools(driver, servers) if with_sdk else driver).open(peer)
            tools = (Tool("weather", "Tells the weather."),) if with_sdk else ()
            outputs = [output async for output in conversation.send(Prompt("Hi", tools=tools), ())]
    assert outputs[-1] == Done("stop")
    assert found.heads[0][0] == "POST /v1/chat/completions HTTP/1.1"
    assert "x-rhetor-hops: 2" in [line.lower() for line in found.heads[0]]


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize(
    ("variable", "proxy", "told"),
    [
        ("HTTPS_PROXY", "socks5://me:secret@127.0.0.1:{port}", "HTTPS_PROXY is socks5://127.0.0.1:{port}"),
        ("https_proxy", "socks5h://127.0.0.1:{port}", "https_proxy is socks5h://127.0.0.1:{port}"),
        ("ALL_PROXY", "socks4a://127.0.0.1:{port}", "ALL_PROXY is socks4a://127.0.0.1:{port}"),
        ("all_proxy", "ftp://127.0.0.1:{port}", "all_proxy is ftp://127.0.0.1:{port}"),
        ("HTTPS_PROXY", "http://[", "HTTPS_PROXY is not a URL"),
    ],
)
async def test_an_unsupported_proxy_is_named_in_the_error_and_not_called(
    monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str, told: str
) -> None:
    async with fake_server() as found:
        monkeypatch.setenv(variable, proxy.format(port=found.port))
        _, failure = await apollo_says(
            environment_for("https://models.example/v1"), resolve=at("93.184.216.34")
        )
    assert isinstance(failure, ProviderFailed)
    assert told.format(port=found.port) in failure.detail
    assert "secret" not in f"{failure.detail} {failure.data}"
    assert variable in failure.data["hint"]
    assert found.heads == []


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
@pytest.mark.parametrize("value", ["missing.pem", "broken.pem"])
async def test_a_missing_or_broken_certificate_file_is_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, value: str
) -> None:
    (tmp_path / "broken.pem").write_text("no certificate")
    monkeypatch.setenv(variable, str(tmp_path / value))
    async with ProviderServer() as provider:
        outputs, failure = await apollo_says(openai_at(provider))
    assert (outputs[-1], failure) == (Done("stop"), None)
    async with fake_server(tls=True) as found:
        url = f"https://models.example:{found.port}/v1"
        _, failure = await apollo_says(environment_for(url), resolve=at("127.0.0.1"))
    assert isinstance(failure, ProviderUnreachable)
    assert "certificate" in failure.detail.lower()


async def test_a_key_that_is_not_a_valid_header_fails_the_turn_and_is_not_shown() -> None:
    async with ProviderServer() as provider:
        _, failure = await apollo_says(openai_at(provider) | {"OPENAI_API_KEY": "sk-1\r\nx: y"})
        assert provider.calls == []
    assert isinstance(failure, ProviderFailed)
    assert "sk-1" not in failure.detail


async def test_an_error_body_that_never_ends_times_out() -> None:
    async with ProviderServer() as provider:
        refusal = Failure(500, headers={"content-length": "1000"}, body="{")
        provider.script(Script(failure=refusal))
        _, failure = await apollo_says(openai_at(provider), Timeouts(first_chunk=SHORT))
    assert isinstance(failure, ProviderTimeout)
    assert failure.data["phase"] == "first_chunk"


PLAIN_TURN = """
import asyncio, sys
from tests.provider import ProviderServer
from tests.rhetor.drivers.talk import anthropic_at, apollo_says, openai_at

async def turns():
    for at in (openai_at, anthropic_at):
        async with ProviderServer() as provider:
            _, failure = await apollo_says(at(provider))
            assert failure is None, failure

asyncio.run(turns())
print(sorted({"openai", "anthropic", "httpx2", "pydantic_ai"} & set(sys.modules)))
"""


@pytest.mark.long
def test_turns_without_tools_import_no_sdk() -> None:
    command = [sys.executable, "-c", PLAIN_TURN]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize(("url", "loads"), [("http://127.0.0.1:9/v1", 0), ("https://models.example/v1", 1)])
async def test_certificates_are_loaded_only_for_https(
    url: str, loads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def counted() -> ssl.SSLContext:
        loaded.append(url)
        return certificates()

    monkeypatch.setattr(sdks, "certificates", counted)
    client = sdks.openai_sdk(Provider("local", "openai", url), SHORT, resolved, None, None)
    await client.close()
    assert len(loaded) == loads
