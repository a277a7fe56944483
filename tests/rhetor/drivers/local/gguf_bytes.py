"""GGUF files for tests: a head as llama.cpp writes it, and a body that is not a model."""

from __future__ import annotations

import hashlib
import struct


def text(words: str) -> bytes:
    return struct.pack("<Q", len(words.encode())) + words.encode()


def number(name: str, value: int) -> bytes:
    return text(name) + struct.pack("<II", 4, value)


def string(name: str, value: str) -> bytes:
    return text(name) + struct.pack("<I", 8) + text(value)


def strings(name: str, *values: str) -> bytes:
    return text(name) + struct.pack("<IIQ", 9, 8, len(values)) + b"".join(map(text, values))


def gguf(*values: bytes, version: int = 3, body: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, 1, len(values)) + b"".join(values) + body


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
