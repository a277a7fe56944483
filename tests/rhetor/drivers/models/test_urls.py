"""Which URLs the hub may call, and at which address."""

import ipaddress
import socket

import pytest

from rhetor.drivers.models.urls import Address, Reach, check_url, is_loopback
from rhetor.errors import Unprocessable

pytestmark = pytest.mark.anyio

PUBLIC, LOOPBACK, PRIVATE = Reach(), Reach(loopback=True), Reach(private=True)


NAMES = {
    "api.example": ["8.8.8.8", "2606:4700::1111"],
    "inside.example": ["10.0.0.1"],
    "both.example": ["8.8.8.8", "169.254.169.254"],
    "nat64.example": ["8.8.8.8", "64:ff9b::808:808"],
    "nat64-inside.example": ["64:ff9b::a00:1"],
    "nat64-metadata.example": ["64:ff9b::a9fe:a9fe"],
    "local-nat64.example": ["64:ff9b:1::808:808"],
    "mapped.example": ["::ffff:10.0.0.1"],
    "here-mapped.example": ["::ffff:127.0.0.1"],
}


async def resolve(host: str) -> list[Address]:
    """A scripted resolver; no test uses a real one."""
    if host not in NAMES:
        raise socket.gaierror(-2, "Name or service not known")
    return [ipaddress.ip_address(address) for address in NAMES[host]]


@pytest.mark.parametrize(
    ("url", "reach"),
    [
        ("https://8.8.8.8/v1", PUBLIC),
        ("http://[2606:4700::1111]:8443/v1", PUBLIC),
        ("http://127.0.0.1:11434/v1", LOOPBACK),
        ("http://[::1]:11434/v1", LOOPBACK),
        ("http://127.0.0.1:11434/v1", PRIVATE),
        ("http://192.168.1.5/v1", PRIVATE),
        ("http://100.64.0.9/v1", PRIVATE),
        ("http://[fd12::1]/v1", PRIVATE),
    ],
)
async def test_an_allowed_address_is_accepted(url: str, reach: Reach) -> None:
    assert str(await check_url(url, reach)) in url


@pytest.mark.parametrize("reach", [PUBLIC, LOOPBACK])
@pytest.mark.parametrize(
    "host",
    ["10.0.0.1", "172.16.0.1", "192.168.1.5", "100.64.0.9", "[fd12::1]", "[fd12::2]"],
)
async def test_private_addresses_need_allow_private(host: str, reach: Reach) -> None:
    with pytest.raises(Unprocessable, match="which the configuration does not allow"):
        await check_url(f"http://{host}/v1", reach)


async def test_loopback_addresses_must_be_allowed() -> None:
    with pytest.raises(Unprocessable):
        await check_url("http://127.0.0.1/v1", PUBLIC)


@pytest.mark.parametrize("reach", [PUBLIC, LOOPBACK, PRIVATE])
@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "http://[fe80::1]/v1",
        "http://[fd00:ec2::254]/latest",
        "http://100.100.100.200/latest",
        "http://224.0.0.1/v1",
        "http://[::]/v1",
        "http://[::ffff:127.0.0.1]/v1",
        "http://[::ffff:8.8.8.8]/v1",
        "http://[64:ff9b::a9fe:a9fe]/latest",
        "http://[64:ff9b::a00:1]/v1",
        "http://[64:ff9b::8.8.8.8]/v1",
        "http://[64:ff9b:1::a9fe:a9fe]/latest",
        "http://[2002:a9fe:a9fe::]/latest",
        "http://[2001:0:4136:e378:8000:63bf:5601:5601]/latest",
        "http://[::a9fe:a9fe]/latest",
        "http://[::ffff:0:a9fe:a9fe]/latest",
        "http://[fd12::5efe:a9fe:a9fe]/latest",
        "http://[fec0::1]/v1",
        "http://[fd20:ce::254]/latest",
        "http://168.63.129.16/machine",
        "http://192.0.0.192/latest",
        "http://0.0.0.0/v1",
        "http://0.1.2.3/v1",
        "http://2130706433/v1",
        "http://0x7f000001/v1",
        "http://0x7f.1/v1",
        "http://127.1/v1",
        "http://0177.0.0.1/v1",
        "http://127.0.0.1./v1",
        "http://evil.com%00.example/v1",
        "http://user:secret@8.8.8.8/v1",
        "http://8.8.8.8\\@127.0.0.1/v1",
        "http://8.8.8.8 /v1",
        "http://8.8.8.8:port/v1",
        "http:///v1",
        "8.8.8.8/v1",
        "file:///etc/passwd",
        "ftp://8.8.8.8/v1",
        "http://[::1/v1",
        "",
    ],
)
async def test_forbidden_addresses_are_never_allowed(url: str, reach: Reach) -> None:
    with pytest.raises(Unprocessable):
        await check_url(url, reach)


async def test_a_host_name_is_judged_by_its_addresses() -> None:
    public = await check_url("https://api.example/v1", PUBLIC, resolve)
    inside = await check_url("https://inside.example/v1", PRIVATE, resolve)
    assert (str(public), str(inside)) == ("8.8.8.8", "10.0.0.1")


@pytest.mark.parametrize("host", ["inside.example", "both.example", "nowhere.example"])
async def test_a_host_name_is_rejected_if_any_of_its_addresses_is(host: str) -> None:
    with pytest.raises(Unprocessable):
        await check_url(f"https://{host}/v1", PUBLIC, resolve)


async def test_nat64_reaches_public_ipv4_addresses_only() -> None:
    assert str(await check_url("https://nat64.example/v1", PUBLIC, resolve)) == "8.8.8.8"


@pytest.mark.parametrize("reach", [PUBLIC, LOOPBACK, PRIVATE])
@pytest.mark.parametrize(
    "host",
    [
        "nat64-inside.example",
        "nat64-metadata.example",
        "local-nat64.example",
        "mapped.example",
        "here-mapped.example",
    ],
)
async def test_a_host_name_with_an_address_that_embeds_another_is_rejected(host: str, reach: Reach) -> None:
    with pytest.raises(Unprocessable):
        await check_url(f"https://{host}/v1", reach, resolve)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:1234/v1", True),
        ("http://127.0.0.9/v1", True),
        ("http://LOCALHOST./v1", True),
        ("http://models.localhost:1234/v1", True),
        ("http://notlocalhost/v1", False),
        ("http://[::1]/v1", True),
        ("http://localhost.evil.example/v1", False),
        ("http://10.0.0.1/v1", False),
        ("http://2130706433/v1", False),
        ("nonsense", False),
    ],
)
async def test_loopback_is_recognized_without_a_resolver(url: str, here: bool) -> None:
    assert is_loopback(url) is here
