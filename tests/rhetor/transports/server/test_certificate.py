"""The files of the hub's certificate: which ones it uses, and when it loads them again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from rhetor.certificates import DAYS, Files, create
from rhetor.errors import InvalidSettings
from rhetor.transports.server.certificate import Certificate, TlsFiles, found_at, load_certificate, tls_files
from tests.certificates import Issued


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    return Issued.into(tmp_path / "tls")


def _missing(files: Files) -> None:
    files.certificate.unlink()


def _no_key(files: Files) -> None:
    files.key.unlink()


def _text(files: Files) -> None:
    files.certificate.write_text("hello")


def _key_is_text(files: Files) -> None:
    files.key.write_text("hello")


def _other_key(files: Files) -> None:
    Issued.into(files.folder.with_name("other")).files.key.replace(files.key)


def _encrypted(files: Files) -> None:
    key = load_pem_private_key(files.key.read_bytes(), None)
    secret = BestAvailableEncryption(b"secret")
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))


def _readable(files: Files) -> None:
    files.key.chmod(0o644)


def _of_a_group(files: Files) -> None:
    files.key.chmod(0o640)


def _folder(files: Files) -> None:
    files.key.unlink()
    files.key.mkdir()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_missing, r"hub\.tls_cert: .*/hub\.crt: No such file or directory"),
        (_no_key, r"hub\.tls_key: .*/hub\.key: No such file or directory"),
        (_text, r"hub\.tls_cert: .*/hub\.crt contains no certificate in PEM form"),
        (_key_is_text, r"hub\.tls_key: .*/hub\.key contains no private key in PEM form"),
        (_other_key, r"hub\.tls_key: .*/hub\.key is not the key of the certificate in hub\.tls_cert"),
        (_encrypted, r"hub\.tls_key: .*/hub\.key is encrypted"),
        (_readable, r"hub\.tls_key: other users have access to .*/hub\.key; run `chmod 600`"),
        (_of_a_group, r"hub\.tls_key: other users have access to .*/hub\.key; run `chmod 600`"),
        (_folder, r"hub\.tls_key: .*/hub\.key is not a regular file"),
    ],
)
def test_files_that_cannot_be_used_are_rejected_with_the_reason(
    issued: Issued, spoil: Callable[[Files], None], reason: str
) -> None:
    spoil(issued.files)
    with pytest.raises(InvalidSettings, match=reason):
        load_certificate(issued.tls_files)


def test_one_file_without_the_other_is_rejected() -> None:
    assert tls_files(None, None) is None
    assert tls_files("/c", "~/k") == TlsFiles(Path("/c"), Path("~/k").expanduser())
    with pytest.raises(InvalidSettings, match=r"hub\.tls_cert is set without hub\.tls_key"):
        tls_files("/c", None)
    with pytest.raises(InvalidSettings, match=r"hub\.tls_key is set without hub\.tls_cert"):
        tls_files(None, "/k")


def test_the_names_of_the_certificate_are_the_hubs_own_except_wildcards(tmp_path: Path) -> None:
    names = Issued.into(tmp_path, "Box.local", "2001:db8::0:7").served.names
    assert (names[0], names[1], set(names[3:])) == (
        "box.local",
        "localhost",
        {"[2001:db8::7]", "127.0.0.1", "[::1]"},
    )
    assert names[2].endswith(".localhost")


@pytest.mark.parametrize(
    ("age", "state"), [(0, "valid"), (DAYS - 15, "valid"), (DAYS - 13, "expires_soon"), (DAYS, "expired")]
)
def test_a_certificate_that_expires_within_two_weeks_expires_soon(
    tmp_path: Path, age: int, state: str
) -> None:
    made = create(Files(tmp_path), ["box.local"], datetime.now(UTC) - timedelta(days=age, hours=1))
    found = found_at(str(tmp_path / "hub.crt"), str(tmp_path / "hub.key"))
    assert found == {"state": state, "expires": f"{made.expires.isoformat()[:19]}.000Z", "detail": None}


def test_a_certificate_that_cannot_be_used_is_invalid(tmp_path: Path) -> None:
    assert found_at(None, None) is None
    assert found_at(str(tmp_path / "hub.crt"), str(tmp_path / "hub.key")) == {
        "state": "invalid",
        "expires": None,
        "detail": f"hub.tls_cert: {tmp_path}/hub.crt: No such file or directory",
    }


def test_an_expired_certificate_is_used_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    create(Files(tmp_path), ["box.local"], datetime.now(UTC) - timedelta(days=1000))
    Certificate(TlsFiles(tmp_path / "hub.crt", tmp_path / "hub.key"))
    assert "the TLS certificate has expired" in caplog.text


def test_a_changed_pair_is_loaded_when_it_does_not_change_any_more(issued: Issued) -> None:
    certificate = issued.served
    changes = list[tuple[str, ...]]()
    certificate.changed = lambda: changes.append(certificate.names)
    certificate.look()
    first = certificate.context
    key = issued.files.key.read_bytes()
    Issued.into(issued.files.folder, "other.local")
    new = issued.files.key.read_bytes()
    issued.files.key.write_bytes(key)  # the certificate was replaced, the key not yet
    certificate.look()
    issued.files.key.write_bytes(new)
    certificate.look()
    assert certificate.context is first
    certificate.look()
    assert (certificate.context is first, len(changes)) == (False, 1)
    assert "other.local" in changes[0]
    certificate.look()
    assert len(changes) == 1


def test_a_broken_pair_is_reported_once_and_the_old_certificate_stays(
    issued: Issued, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = issued.served
    first = certificate.context
    issued.files.key.chmod(0o644)
    for _ in range(4):
        certificate.look()
    assert certificate.context is first
    (record,) = [each for each in caplog.records if "rejected" in each.message]
    assert "other users have access" in record.__dict__["reason"]
    issued.files.key.chmod(0o600)
    certificate.look()
    certificate.look()
    assert certificate.context is not first
