"""The user's keyring, through the library `keyring`. All functions may wait for somebody who unlocks it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, Queue
from typing import Any

SECONDS = 60.0
_RECOMMENDED = 1  # the priority from which on the library uses a keyring without being told to


class KeyringUnusable(Exception):
    """The keyring cannot be used; the message says why."""


def ask_keyring(call: Callable[[Any], Any]) -> Any:
    """Return what `call` returns for the library. It runs in a thread, because it may wait for long.

    Raises:
        KeyringUnusable: the keyring cannot be used, or does not answer in time.
    """
    answer: Queue[Any] = Queue()

    def use() -> None:
        try:
            import keyring

            answer.put(call(keyring))
        except Exception as error:  # noqa: BLE001  # back ends raise errors of the libraries that they use
            answer.put(error)

    threading.Thread(target=use, name="keyring", daemon=True).start()
    try:
        found = answer.get(timeout=SECONDS)
    except Empty:
        raise KeyringUnusable(f"it did not answer within {SECONDS:g} s") from None
    if isinstance(found, Exception):
        raise KeyringUnusable(f"{type(found).__name__}: {found}") from found
    return found


def has_keyring() -> bool:
    """Return whether the system has a keyring that keeps passwords safely."""
    try:
        return bool(ask_keyring(lambda keyring: keyring.get_keyring().priority >= _RECOMMENDED))
    except KeyringUnusable:
        return False
