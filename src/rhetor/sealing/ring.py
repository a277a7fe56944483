"""The ring of data keys: seals content with the newest, and opens what any of them has sealed.

It may be used by several threads, and the file of its keys by several processes.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from msgspec.structs import replace

from rhetor.errors import KeysUnavailable, SealBroken

from .envelope import ID_END, Cipher, cipher_of, key_id_of, seal, unseal
from .files import locked
from .keys_file import (
    NAME,
    KeysFile,
    Wrapped,
    new_file,
    new_key,
    read_keys,
    require_opens,
    rewrapped,
    write_keys,
)
from .master import COMMAND, source_of

log = logging.getLogger(__name__)
# Nonces are random, and two equal ones of one key would be a disaster. Among 2^28 of 96 bits, the probability
# is 2^-41; at 2^32, where a key must not be used any more, it would be 2^-33.
SEALS_PER_KEY = 1 << 28
_LEAST, _MOST = 1 << 14, 1 << 22  # seals that are noted in the file at a time, before they are made
DIGEST = "hmac-sha256:"


def _now() -> int:
    return time.time_ns() // 1_000_000


class Ring:
    """The keys in `keys.json` of a state folder. `setting`: of `encryption.key`. `is_shared`: others have the
    same keys, so no key is replaced here alone.

    The file is read when a key is first needed, and made when something is first sealed; `load` does the
    former at a chosen time, because the keyring or a command may take seconds.
    """

    def __init__(self, folder: Path, setting: str = "file", clock: Callable[[], int] = _now) -> None:
        self._path = folder / NAME
        self._lock_file = folder / f"{NAME}.lock"
        self._setting = setting
        self._source = source_of(setting, folder)
        self._clock = clock
        self._lock = threading.RLock()
        self._master: Cipher | None = None
        self._ciphers: dict[bytes, Cipher] = {}
        self._current: tuple[Cipher, bytes] | None = None
        self._digest_key: bytes | None = None
        self._left = 0
        self._step = _LEAST
        self.is_shared = False

    @property
    def exists(self) -> bool:
        """Whether there are keys. If not, nothing was sealed yet, or the file is lost."""
        return self._path.exists()

    @property
    def current(self) -> bytes:
        """The id of the key for new content. The first key is made if there is none.

        Raises:
            KeysUnavailable: the keys cannot be read or made.
        """
        return self._using()[1]

    def load(self, *, needed: Collection[bytes] = ()) -> None:
        """Read the keys. `needed`: ids of keys without which nothing must be written.

        Raises:
            KeysUnavailable: the keys cannot be read, or one of the needed ones is missing.
        """
        with self._lock:
            keys = read_keys(self._path)
            if keys is not None:
                self._take(keys)
        missing = [key_id.hex() for key_id in needed if key_id not in self._ciphers]
        if missing:
            what = f"does not have the key {missing[0]}" if keys else "is missing"
            raise KeysUnavailable(
                f"{self._path} {what}, and content is sealed with its keys; put the file back from your copy"
            )

    def has(self, key_id: bytes) -> bool:
        """Whether the key is among those that were read."""
        return key_id in self._ciphers

    def seal(self, content: bytes, about: bytes) -> bytes:
        """Seal the content with the newest key. `about` names its place and must be the same for `open`.

        Raises:
            KeysUnavailable: the keys cannot be read or made.
        """
        self._left -= 1
        current = self._current
        if self._left < 0 or current is None:
            self._reserve()
            current = self._using()
        return seal(*current, content, about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """Return the content of an envelope.

        Raises:
            SealBroken: it was changed, belongs to another place, or has a key that is missing.
            KeysUnavailable: the keys cannot be read.
        """
        cipher = self._ciphers.get(sealed[1:ID_END])
        return unseal(cipher or self._found(key_id_of(sealed)), sealed, about)

    def digest(self, text: str) -> str:
        """Return a digest that only the holder of the keys can compute. A rotation does not change it.

        Raises:
            KeysUnavailable: the keys cannot be read or made.
        """
        self._using()
        assert self._digest_key is not None
        return DIGEST + hmac.new(self._digest_key, text.encode(), hashlib.sha256).hexdigest()

    def rotate(self) -> bytes:
        """Make a new key for new content, and retire all others. Return its id. If there is none, the first
        one is made.

        Raises:
            KeysUnavailable: the keys cannot be read or written; the ring is unchanged.
        """
        with self._lock, locked(self._lock_file):
            is_first = not self.exists
            keys, now = self._stored(), self._clock()
            if is_first:
                return keys.newest.key_id
            retired = [key if key.retired else replace(key, retired=now) for key in keys.keys]
            return self._put(self._with_new(keys, retired)).newest.key_id

    def prepare(self) -> Wrapped:
        """Make a new key, with which nothing is sealed until `switch`, and return it as it is wrapped. If
        there is none, the first one is made.

        Raises:
            KeysUnavailable: the keys cannot be read or written; the ring is unchanged.
        """
        with self._lock, locked(self._lock_file):
            is_first = not self.exists
            keys = self._stored()
            if is_first:
                return keys.newest
            made = new_key(self._master, self._clock(), keys.keys)
            self._put(replace(keys, keys=(*keys.keys, made)))
            return made

    def adopt(self, key: Wrapped) -> None:
        """Add a key that another ring with the same master key has made.

        Raises:
            KeysUnavailable: the keys cannot be read or written, or this master key has not wrapped the key;
                the ring is unchanged.
        """
        with self._lock, locked(self._lock_file):
            keys = self._stored()
            if key.id in (each.id for each in keys.keys):
                return
            try:
                key.opened(self._master)
            except (SealBroken, ValueError) as error:
                raise KeysUnavailable(
                    f"the new key was not wrapped by the master key of {self._path}"
                ) from error
            self._put(replace(keys, keys=(*keys.keys, replace(key, seals=0))))

    def switch(self, id: str) -> bool:
        """Seal new content with a key of the file, and retire all others. Return False if it was so already.

        Raises:
            KeysUnavailable: the keys cannot be read or written; the ring is unchanged.
        """
        with self._lock, locked(self._lock_file):
            keys, now = self._stored(), self._clock()
            if keys.current == id:
                return False
            if id not in (each.id for each in keys.keys):
                raise KeysUnavailable(f"{self._path} does not have the key {id}")
            changed = [k if k.id == id or k.retired else replace(k, retired=now) for k in keys.keys]
            self._put(replace(keys, current=id, keys=changed))
            return True

    def listed(self) -> Sequence[Wrapped]:
        """Return the keys in the file, oldest first, as they are wrapped.

        Raises:
            KeysUnavailable: the file cannot be read.
        """
        found = read_keys(self._path)
        return found.keys if found else ()

    def retired(self) -> set[bytes]:
        """Return the ids of the retired keys.

        Raises:
            KeysUnavailable: the file cannot be read.
        """
        return {key.key_id for key in self.listed() if key.retired is not None}

    def move(self, setting: str) -> None:
        """Wrap the keys with the master key of this ring's own setting. `setting`: that of the source which
        has wrapped them so far.

        Raises:
            KeysUnavailable: there are no keys, or one of the sources cannot be used; the ring is unchanged.
        """
        with self._lock, locked(self._lock_file):
            keys = read_keys(self._path)
            if keys is None:
                raise KeysUnavailable(f"{self._path} does not exist, so there is nothing to move")
            old = source_of(setting, self._path.parent).read(keys.master.name)
            opened = require_opens(self._path, keys, old)
            name = secrets.token_hex(8)
            master = cipher_of(self._source.create(name))
            moved = rewrapped(keys, opened, master, _kind(self._setting), name)
            self._master = master
            self._put(moved)

    def _using(self) -> tuple[Cipher, bytes]:
        if self._current is None:
            with self._lock, locked(self._lock_file):
                self._stored()
        assert self._current is not None
        return self._current

    def _reserve(self) -> None:
        """Note in the file that more values will be sealed, so that a key is replaced in time also if the
        process is killed often."""
        with self._lock, locked(self._lock_file):
            if self._left >= 0 and self._current is not None:
                return
            keys = self._stored()
            if keys.newest.seals >= SEALS_PER_KEY and self.is_shared:
                log.warning("the data key is old; run rhetor keys rotate", extra={"key": keys.current})
            elif keys.newest.seals >= SEALS_PER_KEY:
                keys = self._with_new(keys, keys.keys)
            noted = [
                replace(key, seals=key.seals + self._step) if key.id == keys.current else key
                for key in keys.keys
            ]
            self._put(replace(keys, keys=noted))
            self._left = self._step - 1
            self._step = min(2 * self._step, _MOST)

    def _stored(self) -> KeysFile:
        """Read the file, and make it if there is none. Call this with both locks."""
        keys = read_keys(self._path)
        if keys is None:
            name = secrets.token_hex(8)
            self._master = cipher_of(self._source.create(name))
            return self._put(new_file(_kind(self._setting), name, self._master, self._clock()))
        self._take(keys)
        return keys

    def _with_new(self, keys: KeysFile, others: Sequence[Wrapped]) -> KeysFile:
        made = new_key(self._master, self._clock(), others)
        return replace(keys, current=made.id, keys=(*others, made))

    def _put(self, keys: KeysFile) -> KeysFile:
        write_keys(self._path, keys)
        self._take(keys)
        return keys

    def _take(self, keys: KeysFile) -> None:
        """Use the keys of the file."""
        if self._master is None:
            self._require_source(keys)
            self._master = require_opens(self._path, keys, self._source.read(keys.master.name))
        try:
            for key in keys.keys:
                if key.key_id not in self._ciphers:
                    self._ciphers[key.key_id] = cipher_of(key.opened(self._master))
            self._digest_key = keys.digest_key(self._master)
        except (SealBroken, ValueError) as error:
            raise KeysUnavailable(f"{self._path} is damaged; put it back from your copy") from error
        newest = keys.newest.key_id
        if self._current is None or self._current[1] != newest:
            self._current, self._left = (self._ciphers[newest], newest), 0

    def _require_source(self, keys: KeysFile) -> None:
        kind = _kind(self._setting)
        if kind != keys.master.source:
            raise KeysUnavailable(
                f"encryption.key is {kind}, but {self._path} was made with {keys.master.source}; set it "
                f"back, or run rhetor keys move --from {keys.master.source}"
            )

    def _found(self, key_id: bytes) -> Cipher:
        """Return the cipher of a key that was not known yet: another process may have made it."""
        self.load()
        found = self._ciphers.get(key_id)
        if found is None:
            raise SealBroken(
                f"a value is sealed with the key {key_id.hex()}, which {self._path} does not have",
                hint=f"put {self._path} back from your copy",
            )
        return found


def _kind(setting: str) -> str:
    return COMMAND[:-1] if setting.startswith(COMMAND) else setting
