"""The head of GGUF files."""

from __future__ import annotations

from pathlib import Path

import pytest

from rhetor.drivers.local.gguf import NotGguf, context_length
from tests.rhetor.drivers.local.gguf_bytes import gguf, number, string, strings, text

ARCHITECTURE = string("general.architecture", "llama")
CONTEXT = number("llama.context_length", 2048)


def length(tmp_path: Path, content: bytes) -> int | None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    return context_length(path)


def test_the_context_length_is_read_after_other_values(tmp_path: Path) -> None:
    assert length(tmp_path, gguf(ARCHITECTURE, strings("general.languages", "en", "de"), CONTEXT)) == 2048
    assert length(tmp_path, gguf(CONTEXT, version=2)) == 2048


def test_a_model_that_does_not_say_its_context_length_has_none(tmp_path: Path) -> None:
    assert length(tmp_path, gguf(ARCHITECTURE)) is None
    # the vocabulary, which is long, is not read
    assert length(tmp_path, gguf(ARCHITECTURE, strings("tokenizer.ggml.tokens", "a"), CONTEXT)) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "does not begin with GGUF"),
        (b"<html>not found</html>", "does not begin with GGUF"),
        (b"GGUF", "ends within its head"),
        (gguf(CONTEXT, version=9), "version 9"),
        (gguf(ARCHITECTURE)[:-2], "ends within its head"),
        (b"GGUF\x03\0\0\0" + b"\xff" * 16, "head is not valid"),
        (gguf(text("x") + b"\x63\0\0\0"), "unknown type 99"),
        (gguf(b"\xff" * 8), "head is not valid"),
        (gguf(text("x") + b"\x09\0\0\0\x09\0\0\0" + b"\x01" + b"\0" * 7), "head is not valid"),
    ],
)
def test_what_is_not_a_model_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(NotGguf, match=reason):
        length(tmp_path, content)
