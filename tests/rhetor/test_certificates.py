"""`rhetor cert create`: the CA of a home network, and the hub's certificate."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from rhetor.auth.tcp_clients import is_of_this_machine
from rhetor.certificate_renewal import is_own
from rhetor.certificates import AUTHORITY_DAYS, DAYS, Files, create, names_in, own_addresses, renew
from rhetor.errors import InvalidSettings
from rhetor.transports.server.certificate import TlsFiles
from tests.e2e.home import Machine


def test_a_browser_accepts_the_certificate_for_each_of_its_names(tmp_path: Path) -> None:
    files = Files(tmp_path)
    made = create(files, ["Box.local", "192.168.1.20"])
    assert made.is_new
    assert made.names[:5] == ("box.local", "192.168.1.20", "localhost", "127.0.0.1", "::1")
    authority = x509.load_pem_x509_certificate(files.authority.read_bytes())
    leaf, _ = x509.load_pem_x509_certificates(files.certificate.read_bytes())
    for name in leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value:
        assert isinstance(name, x509.DNSName | x509.IPAddress)
        verifier = PolicyBuilder().store(Store([authority])).build_server_verifier(name)
        assert len(verifier.verify(leaf, [])) == 2
    assert timedelta(days=700) < leaf.not_valid_after_utc - leaf.not_valid_before_utc < timedelta(days=825)


def test_the_ca_is_limited_to_private_names_and_those_it_was_created_for(tmp_path: Path) -> None:
    files = Files(tmp_path)
    create(files, ["hub.example.com", "203.0.113.5"])
    again = create(files, ["tv.local", "10.1.2.3", "hub.example.com", "203.0.113.5"])
    assert not again.is_new
    before = files.certificate.read_bytes()
    for name in ("www.example.org", "example.com", "203.0.113.6", "2001:db8::1"):
        with pytest.raises(InvalidSettings, match=f"the CA was created without {name}"):
            create(files, [name])
    assert files.certificate.read_bytes() == before
    assert create(files, ["www.example.org"], new_authority=True).is_new


@pytest.mark.parametrize("name", ["", "a b", "*.local", "http://box", "a..b", "-a", "x" * 64])
def test_a_name_that_is_no_host_name_is_rejected(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidSettings, match="is not a host name or an address"):
        create(Files(tmp_path), [name])
    assert not list(tmp_path.iterdir())


def test_keys_are_readable_only_by_their_owner(tmp_path: Path) -> None:
    files = Files(tmp_path / "tls")
    create(files, ["box.local"])
    modes = {path.name: path.stat().st_mode & 0o777 for path in files.folder.iterdir()}
    assert modes == {"ca.crt": 0o644, "ca.key": 0o600, "hub.crt": 0o644, "hub.key": 0o600}
    assert files.folder.stat().st_mode & 0o777 == 0o700


def test_a_damaged_or_missing_key_of_the_ca_is_named(tmp_path: Path) -> None:
    files = Files(tmp_path)
    create(files, ["box.local"])
    files.authority_key.write_text("hello")
    with pytest.raises(InvalidSettings, match="the CA is damaged; `--new-ca` replaces it"):
        create(files, ["box.local"])
    files.authority_key.unlink()
    with pytest.raises(InvalidSettings, match=r"ca\.key: No such file or directory; `--new-ca`"):
        create(files, ["box.local"])


@pytest.mark.long
def test_the_command_replaces_nothing_without_saying_so(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "home")
    files = Files(machine.folder / "tls")
    first = machine.rhetor("cert", "create", "box.local")
    assert first.returncode == 0
    assert first.stdout.startswith(f"created {files.authority}: the CA; install it on each phone once\n")
    assert f"created {files.certificate}: for box.local, localhost, 127.0.0.1, ::1, " in first.stdout
    content = {path.name: path.read_bytes() for path in files.folder.iterdir()}
    refused = machine.rhetor("cert", "create", "tv.local")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"{files.certificate} exists; `--replace` replaces it and keeps the CA" in refused.stderr
    assert content == {path.name: path.read_bytes() for path in files.folder.iterdir()}
    names = names_in(files.certificate)
    replaced = machine.rhetor("cert", "create", "--replace")
    assert replaced.stdout.startswith(f"kept {files.authority}: the CA; ")
    assert f"replaced {files.certificate}: " in replaced.stdout
    assert sorted(names_in(files.certificate)) == sorted(names)  # the same names without any argument
    assert files.authority.read_bytes() == content["ca.crt"]
    context = ssl.create_default_context(cafile=str(files.authority))
    assert context.get_ca_certs()


def test_a_certificate_is_renewed_for_the_same_names_two_months_before_it_expires(tmp_path: Path) -> None:
    files, began = Files(tmp_path), datetime(2026, 1, 1, tzinfo=UTC)
    made = create(files, ["box.local", "192.168.1.20"], began)
    names, authority = names_in(files.certificate), files.authority.read_bytes()
    assert renew(files, made.expires - timedelta(days=61)) is None
    now = made.expires - timedelta(days=59)
    assert renew(files, now) == now + timedelta(days=DAYS)
    assert (names_in(files.certificate), files.authority.read_bytes()) == (names, authority)
    assert renew(files, now) is None


def test_a_certificate_does_not_outlive_its_ca_and_is_not_renewed_in_vain(tmp_path: Path) -> None:
    files, began = Files(tmp_path), datetime(2026, 1, 1, tzinfo=UTC)
    create(files, ["box.local"], began)
    end = began + timedelta(days=AUTHORITY_DAYS)
    assert create(files, ["box.local"], end - timedelta(days=90)).expires == end
    before = files.certificate.read_bytes()
    assert renew(files, end - timedelta(days=30)) is None
    assert files.certificate.read_bytes() == before


def test_a_certificate_without_its_ca_cannot_be_renewed(tmp_path: Path) -> None:
    files, began = Files(tmp_path), datetime(2026, 1, 1, tzinfo=UTC)
    made = create(files, ["box.local"], began)
    files.authority_key.unlink()
    with pytest.raises(InvalidSettings, match=r"ca\.key: No such file or directory"):
        renew(files, made.expires)


def test_only_the_files_that_the_command_writes_are_renewed(tmp_path: Path) -> None:
    files = Files(tmp_path / "tls")
    assert is_own(TlsFiles(files.certificate, files.key), tmp_path)
    assert not is_own(TlsFiles(files.certificate, tmp_path / "other.key"), tmp_path)
    assert not is_own(TlsFiles(files.certificate, files.key), tmp_path / "other")


def test_the_addresses_of_this_machine_are_private_and_can_be_in_its_certificate(tmp_path: Path) -> None:
    found = own_addresses()
    assert all(ip_address(each).is_private and is_of_this_machine(each) for each in found)
    assert set(found) <= set(create(Files(tmp_path), found).names)
