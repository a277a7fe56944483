"""The manual page: what `man` and the checkers of its source say of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aish.catalogue import pages
from aish.catalogue.man_page import man_page
from tests.needs import needs


def test_the_source_of_the_manual_page_has_no_warnings(tmp_path: Path) -> None:
    source = tmp_path / "aish.1"
    source.write_text(man_page(), encoding="ascii")
    program = needs("groff", "mandoc")
    lints = [[program, "-man", "-Tutf8", "-ww", "-z"]] if program.endswith("groff") else []
    if mandoc := shutil.which("mandoc"):
        lints.append([mandoc, "-Tlint", "-Wwarning"])
    for lint in lints:
        ran = subprocess.run([*lint, str(source)], capture_output=True, text=True)
        assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


def test_make_setup_has_installed_the_manual_page() -> None:
    folder = Path(sys.prefix) / "share/man"
    shown = subprocess.run(
        [needs("man"), "-M", str(folder), "-w", "aish"], capture_output=True, text=True, check=True
    ).stdout
    assert shown == f"{folder}/man1/aish.1\n"


@pytest.mark.long
def test_man_shows_every_command_and_option(tmp_path: Path) -> None:
    man = needs("man")
    subprocess.run([sys.executable, "-m", "aish.catalogue.man_page", str(tmp_path)], check=True)
    environment = {**os.environ, "MANWIDTH": "80", "MAN_KEEP_FORMATTING": "", "LC_ALL": "C.UTF-8"}
    shown = subprocess.run(
        [man, "-M", str(tmp_path), "aish"], capture_output=True, text=True, check=True, env=environment
    ).stdout
    plain = " ".join(re.sub(".\b", "", shown).split())
    assert "aish - a shell in which every AI is a named peer" in plain
    missing = [form for page in pages().values() for form in page.forms if f"aish {form}"[:40] not in plain]
    assert missing == []
    assert plain.count("unknown peer, command, session or the like") == 1
    assert [line for line in shown.splitlines() if len(re.sub(".\b", "", line)) > 80] == []
