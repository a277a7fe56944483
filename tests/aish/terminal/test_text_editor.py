"""A text in the user's editor."""

from __future__ import annotations

from pathlib import Path

import pytest

from aish.exits import Failure
from aish.terminal.text_editor import edited


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ('stat -c \'%a\' "${1%/*}" >> "$1"', "before\n700\n"),  # nobody else can read it
        ('kill -INT $PPID; echo after >> "$1"', "before\nafter\n"),  # Ctrl-C is for the editor
        ("exit 3", "failed with exit status 3; nothing was sent"),
    ],
)
def test_a_text_is_what_the_editor_saved(
    script: str, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "my editor"
    editor.write_text(f"#!/bin/sh\n{script}\n")
    editor.chmod(0o700)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"'{editor}'")
    if "failed" not in outcome:
        assert edited("before\n") == outcome
        return
    with pytest.raises(Failure, match=outcome):
        edited("before\n")


def test_without_an_editor_the_error_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "no-such-editor")
    monkeypatch.setenv("VISUAL", " ")
    with pytest.raises(Failure, match=r"cannot run the editor no-such-editor: No such file .*; set EDITOR"):
        edited("")
