"""Reads the head of a GGUF file, the format of llama.cpp's models: whether it is one, and its context window.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_UNSIGNED = (0, 2, 4, 10)
_MOST_STRING = 1 << 20
_MOST_VALUES = 1 << 16


class NotGguf(Exception):
    """The file is not a GGUF file, or not one that can be read."""


def context_length(path: Path) -> int | None:
    """Return the number of tokens for which the model was trained; None if the file does not say it.

    Raises:
        NotGguf: the file is not a model.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise NotGguf("it does not begin with GGUF")
        version, tensors, values = struct.unpack("<IQQ", _read(file, 20))
        if version not in _VERSIONS:
            raise NotGguf(f"it has version {version} of the format; known are 2 and 3")
        if not 0 < tensors < 1 << 32 or values > _MOST_VALUES:
            raise NotGguf("its head is not valid")
        for _ in range(values):
            name = _string(file)
            (kind,) = struct.unpack("<I", _read(file, 4))
            if name.endswith(b".context_length") and kind in _UNSIGNED:
                return int.from_bytes(_read(file, _SIZES[kind]), "little") or None
            if name.startswith(b"tokenizer."):
                return None  # the vocabulary is long, and follows the figures of the model
            _skip(file, kind)
    return None


def _skip(file: IO[bytes], kind: int) -> None:
    if kind == _STRING:
        _string(file)
    elif kind == _ARRAY:
        each, length = struct.unpack("<IQ", _read(file, 12))
        if each == _ARRAY or length > _MOST_VALUES:
            raise NotGguf("its head is not valid")
        for _ in range(length):
            _skip(file, each)
    elif kind in _SIZES:
        _read(file, _SIZES[kind])
    else:
        raise NotGguf(f"a value has the unknown type {kind}")


def _string(file: IO[bytes]) -> bytes:
    (length,) = struct.unpack("<Q", _read(file, 8))
    if length > _MOST_STRING:
        raise NotGguf("its head is not valid")
    return _read(file, length)


def _read(file: IO[bytes], size: int) -> bytes:
    found = file.read(size)
    if len(found) < size:
        raise NotGguf("it ends within its head")
    return found
