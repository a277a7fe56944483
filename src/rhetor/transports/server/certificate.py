"""The certificate of the TCP listener, and its key. Both are loaded again when their files change."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from rhetor.domain.timestamps import timestamp
from rhetor.errors import InvalidSettings

if TYPE_CHECKING:
    from cryptography import x509

LOOK_SECONDS = 2.0
SOON = timedelta(days=14)  # a certificate that expires earlier should be renewed
log = logging.getLogger(__name__)


class TlsFiles(Struct, frozen=True):
    """The PEM files of a certificate, with its chain, and of its key."""

    certificate: Path
    key: Path

    def signature(self) -> tuple[tuple[int, ...] | None, ...]:
        """Return what changes when the content of the files changes. Links are followed."""
        return tuple(_signature(path) for path in (self.certificate, self.key))


class Authority(Struct, frozen=True):
    """The CA at the end of a certificate's chain, in PEM form. `fingerprint`: its SHA-256, as devices show
    it."""

    pem: bytes
    fingerprint: str


class LoadedCertificate(Struct, frozen=True):
    """`names`: the host names and addresses that the certificate is for, without those with wildcards, as
    they are written in a URL. `authority`: None if the chain does not contain the CA itself."""

    context: ssl.SSLContext
    names: tuple[str, ...]
    expires: datetime
    authority: Authority | None = None


def tls_files(certificate: str | None, key: str | None) -> TlsFiles | None:
    """Return the files of the settings; None if TLS is off.

    Raises:
        InvalidSettings: only one of them is set.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing, given = ("hub.tls_cert", "hub.tls_key") if key else ("hub.tls_key", "hub.tls_cert")
        raise InvalidSettings(f"{given} is set without {missing}; TLS needs both")
    return TlsFiles(Path(certificate).expanduser(), Path(key).expanduser())


def load_certificate(files: TlsFiles) -> LoadedCertificate:
    """Load a certificate and its key.

    Raises:
        InvalidSettings: a file cannot be read or used, they do not belong together, or other users can read
            the key. `detail` names the setting and the file.
    """
    found, *chain = _certificates(files.certificate)
    _check_key(files.key, found)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(files.certificate, files.key)
    except ssl.SSLError as error:
        reason = (error.reason or "unknown error").lower().replace("_", " ")
        raise InvalidSettings(f"hub.tls_cert: {files.certificate}: OpenSSL rejects it: {reason}") from error
    except OSError as error:
        raise InvalidSettings(f"hub.tls_cert: {files.certificate}: {error.strerror}") from error
    authority = _authority(chain[-1]) if chain else None
    return LoadedCertificate(context, _names(found), found.not_valid_after_utc, authority)


def described(expires: datetime) -> dict[str, Any]:
    """Return `{state, expires, detail}` for people and programs. `state`: `valid`, `expires_soon` (in less
    than two weeks) or `expired`."""
    left = expires - datetime.now(UTC)
    state = "expired" if left <= timedelta() else "expires_soon" if left < SOON else "valid"
    return {"state": state, "expires": timestamp(int(expires.timestamp() * 1000)), "detail": None}


def found_at(certificate: str | None, key: str | None) -> dict[str, Any] | None:
    """Return the same for the certificate that these settings name; None if TLS is off. If it cannot be used,
    `state` is `invalid`, and `detail` is the reason."""
    try:
        files = tls_files(certificate, key)
        return described(load_certificate(files).expires) if files else None
    except InvalidSettings as error:
        return {"state": "invalid", "expires": None, "detail": error.detail}


class Certificate:
    """The certificate that new connections get. Open ones keep theirs. `changed` is called when there is
    another."""

    def __init__(self, files: TlsFiles, changed: Callable[[], None] = lambda: None) -> None:
        """Load the certificate.

        Raises:
            InvalidSettings: as `load_certificate`.
        """
        self.changed = changed
        self._last_seen = self._tried = files.signature()
        self._take(files, load_certificate(files))

    @property
    def files(self) -> TlsFiles:
        return self._files

    @property
    def context(self) -> ssl.SSLContext:
        return self._loaded.context

    @property
    def names(self) -> tuple[str, ...]:
        return self._loaded.names

    @property
    def authority(self) -> Authority | None:
        return self._loaded.authority

    @property
    def expires(self) -> datetime:
        return self._loaded.expires

    def use(self, files: TlsFiles, loaded: LoadedCertificate) -> None:
        """Use this certificate, which was loaded from these files, from now on."""
        self._take(files, loaded)
        self.changed()

    async def keep_current(self) -> None:
        """Call `look` every two seconds, forever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Load the files if they have changed, but not since the last look, because two files are not
        replaced at once. If they cannot be used, the reason is logged, and the old certificate stays."""
        seen = self._files.signature()
        is_stable, self._last_seen = seen == self._last_seen, seen
        if seen == self._tried or not is_stable:
            return
        self._tried = seen
        try:
            self.use(self._files, load_certificate(self._files))
        except InvalidSettings as error:
            log.error("new TLS certificate rejected, the old one stays", extra={"reason": error.detail})
        else:
            log.info("TLS certificate loaded", extra={"expires": self._loaded.expires.isoformat()})

    def _take(self, files: TlsFiles, loaded: LoadedCertificate) -> None:
        self._files, self._loaded, self._tried = files, loaded, files.signature()
        if loaded.expires <= datetime.now(UTC):
            log.warning("the TLS certificate has expired", extra={"expired": loaded.expires.isoformat()})


def _signature(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode, found.st_uid


def _read(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidSettings(f"{setting}: {path}: {error.strerror}") from error


def _certificates(path: Path) -> list[x509.Certificate]:
    from cryptography import x509  # takes time, and only TLS needs it

    try:
        return x509.load_pem_x509_certificates(_read("hub.tls_cert", path))
    except ValueError as error:
        raise InvalidSettings(f"hub.tls_cert: {path} contains no certificate in PEM form") from error


def _authority(last: x509.Certificate) -> Authority | None:
    """Return the last certificate of a chain if it is that of a CA which nobody else vouches for."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        is_authority = last.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return None
    if not is_authority or last.issuer != last.subject:
        return None
    return Authority(last.public_bytes(Encoding.PEM), last.fingerprint(SHA256()).hex(":").upper())


def _check_key(path: Path, certificate: x509.Certificate) -> None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    _require_private(path)
    try:
        key = load_pem_private_key(_read("hub.tls_key", path), None)
    except TypeError as error:
        raise InvalidSettings(
            f"hub.tls_key: {path} is encrypted; decrypt it, for nobody can enter its passphrase"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidSettings(f"hub.tls_key: {path} contains no private key in PEM form") from error
    if key.public_key() != certificate.public_key():
        raise InvalidSettings(f"hub.tls_key: {path} is not the key of the certificate in hub.tls_cert")


def _require_private(path: Path) -> None:
    """Check that only this user can read a key, or root and one group if it belongs to root.

    Raises:
        InvalidSettings: others can.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise InvalidSettings(f"hub.tls_key: {path}: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise InvalidSettings(f"hub.tls_key: {path} is not a regular file")
    if found.st_uid not in (os.getuid(), 0):
        raise InvalidSettings(f"hub.tls_key: {path} belongs to another user; use a key of your own")
    allowed = 0o600 if found.st_uid == os.getuid() else 0o640
    if found.st_mode & 0o077 & ~allowed:
        raise InvalidSettings(f"hub.tls_key: other users have access to {path}; run `chmod 600` on it")


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    names = [name.lower() for name in found.get_values_for_type(x509.DNSName) if "*" not in name]
    addresses = found.get_values_for_type(x509.IPAddress)
    return (*names, *(f"[{each}]" if each.version == 6 else str(each) for each in addresses))
