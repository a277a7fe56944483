"""A small certificate authority for a home network, and certificates of it for the hub.

A phone trusts the authority for years, so the authority is limited: it can vouch only for names and addresses
of private networks, and for the names that it was created for (RFC 5280, section 4.2.1.10).
"""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rhetor.errors import InvalidSettings

AUTHORITY_DAYS = 3650
DAYS = 820  # iOS accepts at most 825
RENEWED_BEFORE = timedelta(days=60)
EARLIER = timedelta(hours=1)  # the clock of a phone may be slow
OWN = ("localhost", "127.0.0.1", "::1")
PRIVATE_NAMES = ("localhost", "local", "home.arpa", "internal", "lan", "home")
PRIVATE_NETWORKS = (
    *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
    *("::1/128", "fc00::/7", "fe80::/10"),
)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Made:
    """What `create` has done. `is_new`: the authority is new; `fingerprint` is its SHA-256."""

    is_new: bool
    fingerprint: str
    names: tuple[str, ...]
    expires: datetime


class Files:
    """The files of the authority and of the hub's certificate, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority, self.authority_key = folder / "ca.crt", folder / "ca.key"
        self.certificate, self.key = folder / "hub.crt", folder / "hub.key"


def create(
    files: Files, names: Sequence[str], now: datetime | None = None, *, new_authority: bool = False
) -> Made:
    """Create a certificate for these names and the ones of this machine's loopback interface, and the
    authority if there is none or a `new_authority` is wanted. Existing files are replaced.

    Raises:
        InvalidSettings: a name is invalid, or the authority cannot vouch for it.
    """
    now = now or datetime.now(UTC)
    wanted = tuple(dict.fromkeys([*map(_checked, names), *OWN]))
    if not any(name.endswith(".localhost") for name in wanted):  # for the console
        wanted = (*wanted, f"{secrets.token_hex(8)}.localhost")
    files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_new = new_authority or not files.authority.exists()
    if is_new:
        _create_authority(files, wanted, now)
    authority, key = _authority(files)
    _require_permitted(authority, wanted)
    end = min(now + timedelta(days=DAYS), authority.not_valid_after_utc)
    made, own_key = _issue(authority, key, wanted, now, end)
    _write(files.key, _pem(own_key))
    _write(files.certificate, made.public_bytes(Encoding.PEM) + authority.public_bytes(Encoding.PEM), 0o644)
    digest = authority.fingerprint(SHA256()).hex(":").upper()
    return Made(is_new, digest, wanted, made.not_valid_after_utc)


def renew(files: Files, now: datetime | None = None) -> datetime | None:
    """Replace the hub's certificate with one for the same names if it expires within 60 days; return when the
    new one expires. Return None if nothing was done: it is not due, or it would expire no later, because the
    authority expires then, too.

    Raises:
        InvalidSettings: the files of the certificate or of the authority cannot be used.
    """
    now = now or datetime.now(UTC)
    old = _loaded(files.certificate).not_valid_after_utc
    if old - now > RENEWED_BEFORE or _authority(files)[0].not_valid_after_utc <= old:
        return None
    return create(files, names_in(files.certificate), now).expires


def own_addresses() -> list[str]:
    """Return the private addresses that this machine has in its network, at most one of IPv4 and of IPv6."""
    found = []
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((elsewhere, 9))  # chooses the own address, and sends nothing
                found.append(str(probe.getsockname()[0]))
        except OSError:  # there is no such network
            continue
    return [each for each in found if (known := _address(each)) and _is_private(known)]


def names_in(path: Path) -> list[str]:
    """Return the names that a certificate is for.

    Raises:
        InvalidSettings: the file cannot be read, or is no certificate.
    """
    try:
        names = _loaded(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise InvalidSettings(f"{path} is damaged; name the hosts to replace it") from error
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def _loaded(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())[0]
    except OSError as error:
        raise InvalidSettings(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise InvalidSettings(f"{path} is damaged; name the hosts to replace it") from error


def _checked(name: str) -> str:
    """Return a host name in lower case, or an address as it is usually written."""
    try:
        return str(ip_address(name.strip("[]")))
    except ValueError:
        lower = name.lower().rstrip(".")
    if len(lower) > 253 or not all(_LABEL.fullmatch(label) for label in lower.split(".")):
        raise InvalidSettings(
            f"{name!r} is not a host name or an address; write for example box.local or 192.168.1.20"
        )
    return lower


def _general(name: str) -> x509.DNSName | x509.IPAddress:
    address = _address(name)
    return x509.DNSName(name) if address is None else x509.IPAddress(address)


def _address(name: str) -> Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None


def _create_authority(files: Files, names: Iterable[str], now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    own = [name for name in names if _address(name) is None and not _is_below(name, PRIVATE_NAMES)]
    public = [found for name in names if (found := _address(name)) and not _is_private(found)]
    permitted: list[x509.GeneralName] = [x509.DNSName(name) for name in (*PRIVATE_NAMES, *own)]
    permitted += [x509.IPAddress(ip_network(each)) for each in (*PRIVATE_NETWORKS, *map(str, public))]
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"rhetor home network {now:%Y-%m-%d %H:%M:%S}")]
    )
    made = (
        _builder(name, name, key.public_key(), now, now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .sign(key, SHA256())
    )
    _write(files.authority_key, _pem(key))
    _write(files.authority, made.public_bytes(Encoding.PEM), 0o644)


def _authority(files: Files) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        authority = x509.load_pem_x509_certificate(files.authority.read_bytes())
        key = load_pem_private_key(files.authority_key.read_bytes(), None)
    except OSError as error:
        raise InvalidSettings(f"{error.filename}: {error.strerror}; `--new-ca` replaces the CA") from error
    except (ValueError, TypeError) as error:
        raise InvalidSettings(f"{files.folder}: the CA is damaged; `--new-ca` replaces it") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != authority.public_key():
        raise InvalidSettings(f"{files.authority_key} is not the key of the CA; `--new-ca` replaces the CA")
    return authority, key


def _issue(
    authority: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
    now: datetime,
    end: datetime,
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    own = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rhetor")])
    made = (
        _builder(subject, authority.subject, own.public_key(), now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    return made, own


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _require_permitted(authority: x509.Certificate, names: Iterable[str]) -> None:
    """Check that the authority can vouch for the names.

    Raises:
        InvalidSettings: it was created without one of them.
    """
    limits = authority.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
    below = [each.value for each in limits if isinstance(each, x509.DNSName)]
    networks = [each.value for each in limits if isinstance(each, x509.IPAddress)]
    for name in names:
        address = _address(name)
        known = [each for each in networks if not isinstance(each, IPv4Address | IPv6Address)]
        if any(address in each for each in known) if address else _is_below(name, below):
            continue
        raise InvalidSettings(
            f"the CA was created without {name}, and phones would not accept it; `--new-ca` replaces the CA"
        )


def _is_below(name: str, parents: Iterable[str]) -> bool:
    return any(name == parent or name.endswith(f".{parent}") for parent in parents)


def _is_private(address: Address) -> bool:
    return any(address in ip_network(each) for each in PRIVATE_NETWORKS)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write the file at once, so that a hub which reads it sees the old or the new content."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
    new.replace(path)
