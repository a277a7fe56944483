"""The master key, which wraps the data keys: where it comes from, by the setting `encryption.key`.

`file`: `master.key` in the state folder. `keyring`: the user's keyring. `command:…`: what a program prints.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from rhetor.errors import KeysUnavailable

from .envelope import KEY_BYTES
from .files import read_private, write_durably
from .keyrings import KeyringUnusable, ask_keyring

FILE = "master.key"
SERVICE = "rhetor"
COMMAND = "command:"
COMMAND_SECONDS = 10.0


class MasterSource(Protocol):
    """A place where the master key is kept."""

    def read(self, name: str) -> bytes:
        """Return the master key called `name`.

        Raises:
            KeysUnavailable: there is none, or it cannot be read.
        """
        ...

    def create(self, name: str) -> bytes:
        """Return a new master key for `name`, after it was stored. One that the user keeps is only read.

        Raises:
            KeysUnavailable: it cannot be stored.
        """
        ...


def source_of(setting: str, folder: Path) -> MasterSource:
    """Return the source that the setting `encryption.key` names. `folder`: the state folder."""
    if setting == "keyring":
        return KeyringSource()
    if setting.startswith(COMMAND):
        return CommandSource(setting.removeprefix(COMMAND))
    return FileSource(folder / FILE)


class FileSource:
    """A file that only its owner can read, with the key as 64 hexadecimal digits."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, name: str) -> bytes:
        text = read_private(self._path)
        if text is None:
            raise KeysUnavailable(
                f"{self._path} is missing, and without it nothing that is sealed can be read; "
                "put it back from your copy"
            )
        return _key(str(self._path), text.decode(errors="replace"))

    def create(self, name: str) -> bytes:
        if self._path.exists():
            return self.read(name)  # left by a start that was interrupted
        key = secrets.token_bytes(KEY_BYTES)
        write_durably(self._path, key.hex().encode() + b"\n")
        return key


class KeyringSource:
    """The user's keyring, through the library `keyring`."""

    def read(self, name: str) -> bytes:
        found = _in_keyring(lambda keyring: keyring.get_password(SERVICE, name))
        if found is None:
            raise KeysUnavailable(
                f"the keyring has no password for service {SERVICE}, user {name}, and without it nothing "
                "that is sealed can be read; put it back, or unlock the keyring that has it"
            )
        return _key("the keyring", found)

    def create(self, name: str) -> bytes:
        key = secrets.token_bytes(KEY_BYTES)
        _in_keyring(lambda keyring: keyring.set_password(SERVICE, name, key.hex()))
        if _in_keyring(lambda keyring: keyring.get_password(SERVICE, name)) != key.hex():
            raise KeysUnavailable("the keyring did not store the master key; set encryption.key to file")
        return key


def _in_keyring(call: Callable[[Any], str | None]) -> str | None:
    """Use the keyring.

    Raises:
        KeysUnavailable: it cannot be used, or does not answer in time.
    """
    try:
        found: str | None = ask_keyring(call)
    except KeyringUnusable as error:
        raise KeysUnavailable(
            f"the keyring cannot be used ({error}); unlock it, or set encryption.key to file"
        ) from error
    return found


class CommandSource:
    """A program that prints the key. It is run without a shell, with the caller's environment."""

    def __init__(self, command: str) -> None:
        self._command = command

    def read(self, name: str) -> bytes:
        try:
            arguments = shlex.split(self._command)
            done = subprocess.run(
                arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise _failed(f"did not end within {COMMAND_SECONDS:g} s") from None
        except (OSError, ValueError, IndexError) as error:
            raise _failed(f"cannot be run: {getattr(error, 'strerror', None) or error}") from None
        if done.returncode != 0:
            # its output is not shown, because it may contain a secret
            raise _failed(f"failed with exit status {done.returncode}; run it in a terminal to see why")
        return _key("the command of encryption.key", done.stdout.decode(errors="replace"))

    def create(self, name: str) -> bytes:
        return self.read(name)


def _failed(reason: str) -> KeysUnavailable:
    return KeysUnavailable(f"the command of encryption.key {reason}")


def _key(where: str, text: str) -> bytes:
    """Return the key that a text contains, as 64 hexadecimal digits or in base64."""
    text = text.strip()
    for decode in (bytes.fromhex, _from_base64):
        try:
            key = decode(text)
        except (ValueError, binascii.Error):
            continue
        if len(key) == KEY_BYTES:
            return key
    raise KeysUnavailable(
        f"{where} contains no key: 256 bits as 64 hexadecimal digits or in base64 are expected, for example "
        "from openssl rand -hex 32"
    )


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
