"""The names of the hub, and which of them a page or a client may use."""

from __future__ import annotations

import pytest

from rhetor.auth.addresses import Addresses, is_loopback, own_names
from rhetor.auth.process_tree import Processes
from rhetor.auth.tcp_clients import TcpClients, is_of_this_machine
from rhetor.domain.principal import UNIDENTIFIED
from rhetor.errors import Forbidden, Misdirected

RANDOM = "c0ffee.localhost"


@pytest.mark.parametrize(
    ("host", "names", "url", "console"),
    [
        ("127.0.0.1", (), "127.0.0.1", RANDOM),
        ("::1", (), "[::1]", RANDOM),
        ("127.0.0.1", ("box.local", "1234.localhost"), "127.0.0.1", "1234.localhost"),
        ("0.0.0.0", ("localhost", "box.local", "192.168.1.2"), "box.local", "box.local"),
        ("192.168.1.2", ("box.local", "192.168.1.2"), "192.168.1.2", "192.168.1.2"),
        ("192.168.1.3", ("127.0.0.1", "box.local"), "box.local", "box.local"),
        ("fd00::2", ("box.local", "[fd00::2]"), "[fd00::2]", "[fd00::2]"),
        ("192.168.1.2", (), "192.168.1.2", "192.168.1.2"),
    ],
)
def test_the_hubs_url_has_a_name_of_its_certificate(
    host: str, names: tuple[str, ...], url: str, console: str
) -> None:
    assert own_names(host, names, RANDOM) == (url, console)


def test_only_addresses_of_the_loopback_interface_are_loopback() -> None:
    for host in ("127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "a.localhost"):
        assert is_loopback(host), host
    for host in ("", "0.0.0.0", "::", "192.168.1.1", "localhost.evil", "xlocalhost", "127.0.0.1.evil"):
        assert not is_loopback(host), host


def test_names_of_the_certificate_are_accepted_exactly_and_with_https() -> None:
    addresses = Addresses(8300, RANDOM, tls=True, names=["box.local"])
    assert addresses.check_host("BOX.local:8300") == ("box.local", 8300)
    addresses.check_origin("https://box.local:8300")
    for host in ("box.local", "box.local:8301", "x.box.local:8300", "box.local.evil:8300", "evil"):
        with pytest.raises(Misdirected):
            addresses.check_host(host)
    for origin in ("http://box.local:8300", "https://box.local", "https://x.box.local:8300", "null"):
        with pytest.raises(Forbidden):
            addresses.check_origin(origin)


def test_another_certificate_or_configuration_replaces_only_its_own_names() -> None:
    addresses = Addresses(443, RANDOM, ["a.example"], tls=True, names=["box.local"])
    renamed = addresses.named(["tv.local"])
    assert renamed.check_host("tv.local") == ("tv.local", 443)
    assert renamed.check_host("a.example") == ("a.example", 443)
    allowed = renamed.allowing(["b.example"], [])
    assert [allowed.check_host(host)[0] for host in ("tv.local", "b.example")] == ["tv.local", "b.example"]
    for found, host in ((renamed, "box.local"), (allowed, "a.example")):
        with pytest.raises(Misdirected):
            found.check_host(host)
    assert allowed.cookie == "__Host-rhetor"


@pytest.mark.anyio
async def test_a_client_on_another_machine_is_no_program_of_this_hub() -> None:
    clients = TcpClients(Processes(dict))
    assert await clients.agent(("192.0.2.1", 40_000), ("192.0.2.2", 8300)) is None
    assert await clients.agent(("127.0.0.1", 1), ("127.0.0.1", 2)) == UNIDENTIFIED
    assert [is_of_this_machine(each) for each in ("127.9.9.9", "192.0.2.1", "2001:db8::1")] == [
        True,
        False,
        False,
    ]
    assert is_of_this_machine("not an address")  # what is not certain is not trusted
