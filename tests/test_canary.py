"""The search for canaries finds them in every form, so that finding none means something."""

from __future__ import annotations

import base64
import gzip
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.canary import places

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = "canary über all"


@pytest.mark.parametrize(
    "written",
    [
        str.encode,
        lambda text: text.encode("utf-16"),
        lambda text: base64.b64encode(b"x" + text.encode() + b"y"),
        lambda text: base64.urlsafe_b64encode(b"xx" + text.encode() + b"yz"),
        lambda text: b"head" + gzip.compress(text.encode()) + b"tail",
        lambda text: b"head" + zlib.compress(text.encode()),
        lambda text: b"head" + zstd.compress(text.encode()) + b"tail",
        lambda text: text.encode().hex().encode(),
    ],
)
def test_a_text_is_found_in_every_form(tmp_path: Path, written: Callable[[str], bytes]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(b"before" + written(TEXT) + b"after")
    (tmp_path / "other").write_bytes(b"nothing")
    assert places(tmp_path, TEXT) == ["a/file"]
    assert places(tmp_path, TEXT, without=("a/",)) == []


def test_a_name_is_found(tmp_path: Path) -> None:
    (tmp_path / TEXT).mkdir()
    assert places(tmp_path, TEXT) == [TEXT]
