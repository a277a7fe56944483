"""The files by which a hub finds a host are complete or absent."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

WRITES = (
    "import sys; from rhetor.host.supervisor import write_whole; write_whole(sys.argv[1], b'x' * 100_000)"
)


def write(path: Path, most: int) -> int:
    """Write 100,000 bytes with a file size limit of `most`; return the exit status."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))  # noqa: E731
    command = [sys.executable, "-B", "-c", WRITES, str(path)]
    return subprocess.run(command, preexec_fn=limit, capture_output=True, check=False).returncode


def test_a_file_that_cannot_be_written_completely_does_not_exist(tmp_path: Path) -> None:
    assert write(tmp_path / "whole", 100_000) == 0
    assert (tmp_path / "whole").stat().st_size == 100_000
    assert write(tmp_path / "cut", 50_000) != 0
    assert not (tmp_path / "cut").exists()
