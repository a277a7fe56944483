"""Certificates for tests: of the CA that `rhetor cert create` makes."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from rhetor.certificates import Files, create
from rhetor.transports.server.certificate import Certificate, TlsFiles

NAMES = ("box.local", "192.0.2.7")


@dataclass(frozen=True)
class Issued:
    """A certificate in files of its own, and its CA."""

    files: Files

    @classmethod
    def into(cls, folder: Path, *names: str) -> Issued:
        files = Files(folder)
        create(files, names or NAMES)
        return cls(files)

    @property
    def tls_files(self) -> TlsFiles:
        return TlsFiles(self.files.certificate, self.files.key)

    @property
    def served(self) -> Certificate:
        """The certificate, as the hub loads it."""
        return Certificate(self.tls_files)

    def trusting(self) -> ssl.SSLContext:
        """Return the context of a client that trusts only this CA."""
        return ssl.create_default_context(cafile=str(self.files.authority))
