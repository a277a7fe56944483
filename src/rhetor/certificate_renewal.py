"""Renews the certificate that `rhetor cert create` made, long before it expires, while the hub runs."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from rhetor.errors import InvalidSettings
from rhetor.transports.server.certificate import Certificate, TlsFiles

FOLDER = "tls"  # in the state folder
CERTIFICATE, KEY = "hub.crt", "hub.key"
LOOK_SECONDS = 12 * 3600.0
log = logging.getLogger(__name__)


def is_own(files: TlsFiles, home: Path) -> bool:
    """Return whether a hub uses the files that `rhetor cert create` writes. Others are renewed by whoever
    made them."""
    folder = home / FOLDER
    own = TlsFiles(folder / CERTIFICATE, folder / KEY)
    return [each.resolve() for each in (files.certificate, files.key)] == [
        each.resolve() for each in (own.certificate, own.key)
    ]


async def keep_renewed(certificate: Certificate, home: Path) -> None:
    """While the hub uses its own certificate, renew it when it is due, forever. The hub loads the new files
    as it loads all that have changed. If that fails, the reason is logged, and the next attempt is 12 hours
    later."""
    while True:
        try:
            if is_own(certificate.files, home):
                await asyncio.to_thread(_renew, home / FOLDER)
        except (InvalidSettings, OSError) as error:
            reason = error.detail if isinstance(error, InvalidSettings) else str(error)
            log.error("the TLS certificate cannot be renewed", extra={"reason": reason})
        await asyncio.sleep(LOOK_SECONDS)


def _renew(folder: Path) -> None:
    from rhetor.certificates import (  # takes time, and only a hub with such a certificate needs it
        Files,
        renew,
    )

    if (until := renew(Files(folder))) is not None:
        log.info("TLS certificate renewed", extra={"expires": until.isoformat()})
