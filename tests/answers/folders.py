"""The folders in which programs of the table start: each is new, and has what its program needs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

_LETTERS = "alfa bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november"
_SLOW = """
module.exports = {
  name: prompt("package name", "box"),
  description: done => setTimeout(() => done(null, prompt("description")), 3000),
}
"""
_HTOPRC = """
config_reader_min_version=3
header_layout=one_100
column_meters_0=
column_meter_modes_0=
"""
_LSOF = """#!/bin/sh
sleep ${LSOF_SECONDS:-0}
printf 'p1\\nf3\\ntREG\\nn/a/file\\n'
"""


@contextmanager
def empty(folder: Path) -> Iterator[None]:
    assert folder.is_dir()
    yield


@contextmanager
def words(folder: Path) -> Iterator[None]:
    """A file `words` of some screens, without digits: what differs in numbers only is not new on a screen."""
    lines = [" ".join(pair) for pair in product(_LETTERS.split(), repeat=2)]
    (folder / "words").write_text("\n".join(lines) + "\n")
    yield


@contextmanager
def repository(folder: Path) -> Iterator[None]:
    """A repository with one file, in which one line has changed."""
    file = folder / "file"
    file.write_text("one\ntwo\n")
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for words in (("init", "-q"), ("add", "file"), (*who, "commit", "-qm", "first")):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    file.write_text("one\n2\n")
    yield


@contextmanager
def package(folder: Path) -> Iterator[None]:
    """A folder with a file that asks slow questions."""
    (folder / "slow").mkdir()
    (folder / "slow" / "init.js").write_text(_SLOW)
    yield


@contextmanager
def files_of_processes(folder: Path) -> Iterator[None]:
    """A configuration of htop, an `lsof` that finds one file after `LSOF_SECONDS`, and one that fails as if
    there was none."""
    (folder / "htoprc").write_text(_HTOPRC)
    for name, script in (("lists", _LSOF), ("fails", "#!/bin/sh\nexit 127\n")):
        file = folder / name / "lsof"
        file.parent.mkdir()
        file.write_text(script)
        file.chmod(0o755)
    yield
