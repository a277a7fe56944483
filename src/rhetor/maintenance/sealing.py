"""Whether the file of a command is sealed, and with which passphrase."""

from __future__ import annotations

import argparse
import getpass
import os
from collections.abc import Callable
from pathlib import Path

from rhetor.errors import InvalidSettings
from rhetor.settings import EncryptionSettings, read_settings

VARIABLE = "RHETOR_PASSPHRASE"


def encryption(folder: Path) -> EncryptionSettings:
    """Return the settings of the hub with this state folder.

    Raises:
        InvalidSettings: its configuration is invalid.
    """
    return read_settings(folder / "config.yaml").encryption


def new_passphrase(arguments: argparse.Namespace, settings: EncryptionSettings) -> str | None:
    """Return the passphrase for a new file; None if it is not to be sealed.

    Raises:
        InvalidSettings: there is no passphrase.
    """
    if arguments.plain or not (arguments.seal or settings.at_rest):
        return None
    return _given(arguments) or _prompted(twice=True)


def known_passphrase(arguments: argparse.Namespace) -> Callable[[], str]:
    """Return a function that returns the passphrase of an existing file.

    It raises InvalidSettings if there is none.
    """
    return lambda: _given(arguments) or _prompted(twice=False)


def _given(arguments: argparse.Namespace) -> str | None:
    file: Path | None = arguments.passphrase_file
    if file is None:
        return os.environ.get(VARIABLE) or None
    try:
        passphrase = file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidSettings(f"--passphrase-file: {file}: {reason}") from error
    if not passphrase:
        raise InvalidSettings(f"--passphrase-file: {file} is empty")
    return passphrase


def _prompted(*, twice: bool) -> str:
    try:
        with open("/dev/tty"):
            pass
    except OSError:
        raise InvalidSettings(
            f"there is no terminal to ask for the passphrase; set {VARIABLE}, or use --passphrase-file"
        ) from None
    passphrase = getpass.getpass("Passphrase: ")
    if not passphrase:
        raise InvalidSettings("the passphrase is empty")
    if twice and getpass.getpass("Passphrase again: ") != passphrase:
        raise InvalidSettings("the passphrases differ")
    return passphrase
