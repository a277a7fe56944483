"""Starting the hub, with a scripted program in its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.aish.scripted import Ran, Shell


@pytest.fixture
def started(tmp_path: Path, aish: Shell) -> Path:
    """Replace what `python -m rhetor` runs in this test, through the module path."""
    program = tmp_path / "modules" / "rhetor" / "__main__.py"
    program.parent.mkdir(parents=True)
    (program.parent / "__init__.py").touch()
    aish.environment["PYTHONPATH"] = str(program.parent.parent)
    return program


def test_a_failed_start_shows_the_end_of_the_log(aish: Shell, started: Path, home: Path) -> None:
    (home / "hub.log").write_text("from an earlier day\n")
    started.write_text("import sys\nsys.stderr.write('config.yaml: line 3: no such key\\n')\nsys.exit(2)\n")
    said = f"aish: the hub did not start; see {home}/hub.log\n  config.yaml: line 3: no such key\n"
    assert aish("apollo", "x") == Ran(5, "", said)


def test_a_failed_start_shows_no_traceback(aish: Shell, started: Path, home: Path) -> None:
    started.write_text("import json\n\n\ndef fail():\n    json.loads('')\n\n\nfail()\n")
    ran = aish("apollo", "x")
    assert (ran.code, ran.err.count("\n")) == (5, 2)
    assert ran.err.endswith("JSONDecodeError: Expecting value: line 1 column 1 (char 0)\n")
    assert "Traceback" in (home / "hub.log").read_text()


def test_the_hub_starts_with_its_own_session_folder_and_files(
    aish: Shell, started: Path, tmp_path: Path
) -> None:
    aish.environment["RHETOR_HOME"] = str(tmp_path / "new" / "home")
    started.write_text(
        """
import os, sys
own_session = os.getsid(0) != int(os.environ["TEST_SESSION"])
open_files = sorted(int(name) for name in os.listdir("/proc/self/fd"))[3:-1]
home = os.environ["RHETOR_HOME"]
sys.stderr.write(f"{sys.argv[1:]} {own_session} {os.getcwd()} {home} {open_files}\\n")
"""
    )
    ran = aish("apollo", "x", env={"TEST_SESSION": str(os.getsid(0))})
    home = tmp_path / "new" / "home"
    assert (
        ran.err
        == f"aish: the hub did not start; see {home}/hub.log\n  ['serve', '--auto'] True / {home} []\n"
    )
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "hub.log").stat().st_mode & 0o777 == 0o600
