"""The small models on the disk."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from rhetor.drivers.local.files import GIVEN_UP, UNPACKING, ModelFiles
from rhetor.drivers.local.models import name_of
from rhetor.errors import NameTaken, NotFound, Unprocessable
from tests.rhetor.drivers.local.gguf_bytes import digest, gguf, number

CONTENT = gguf(number("llama.context_length", 2048), body=b"weights")


def adopted(files: ModelFiles, name: str = "tiny", content: bytes = CONTENT, sha256: str = "") -> Path:
    part = files.part(sha256 or digest(content))
    part.write_bytes(content)
    files.adopt(name, part, sha256 or digest(content), "http://x/tiny.gguf", None)
    return part


def test_a_model_is_kept_for_its_owner_alone_and_can_be_removed(tmp_path: Path) -> None:
    files = ModelFiles(tmp_path / "models")
    assert files.listed() == []
    part = adopted(files)
    assert not part.exists()
    (model,) = files.listed()
    assert (model.name, model.bytes, model.sha256) == ("tiny", len(CONTENT), digest(CONTENT))
    assert (model.context, model.source) == (2048, "http://x/tiny.gguf")
    assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.folder.iterdir()} == {0o600}
    files.remove("tiny")
    assert (files.listed(), list(files.folder.iterdir())) == ([], [])
    with pytest.raises(NotFound):
        files.remove("tiny")


def test_a_file_with_another_digest_or_format_is_not_kept(tmp_path: Path) -> None:
    files = ModelFiles(tmp_path)
    with pytest.raises(Unprocessable, match="has the SHA-256"):
        adopted(files, sha256="0" * 64)
    with pytest.raises(Unprocessable, match="is not a GGUF model: it does not begin with GGUF"):
        adopted(files, content=b"<html>")
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_was_given_up_is_removed_by_the_next_one_of_another_file(tmp_path: Path) -> None:
    files = ModelFiles(tmp_path)
    given_up, recent, killed = files.part("a" * 64), files.part("b" * 64), tmp_path / f"{UNPACKING}x"
    given_up.touch()
    recent.touch()
    (killed / "got").mkdir(parents=True)
    os.utime(given_up, (0, time.time() - GIVEN_UP - 9))
    assert files.part("a" * 64) == given_up
    assert given_up.exists()  # the same file continues
    assert not killed.exists()
    files.part("c" * 64)
    assert list(tmp_path.iterdir()) == [recent]


def test_another_model_does_not_get_the_name(tmp_path: Path) -> None:
    files = ModelFiles(tmp_path)
    adopted(files)
    adopted(files)  # the same one again
    with pytest.raises(NameTaken):
        adopted(files, content=CONTENT + b"more")


def test_a_damaged_note_or_a_cut_file_is_no_model(tmp_path: Path) -> None:
    files = ModelFiles(tmp_path)
    adopted(files, "a")
    adopted(files, "b")
    (tmp_path / "a.json").write_text("{")
    files.path("b").write_bytes(CONTENT[:-1])
    assert files.listed() == []
    assert files.find("../a") is None


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://x/a/Qwen2.5-0.5B_Q4.gguf?download=true", "qwen2.5-0.5b_q4"),
        ("https://x/My%20Model%20(1).gguf", "my-model-1"),
        ("https://x/", ""),
    ],
)
def test_a_model_is_called_like_its_file(url: str, name: str) -> None:
    assert name_of(url) == name
