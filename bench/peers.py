"""The programs for comparison, each in an environment of its own in the user's cache folder.

They are not installed in the project's environment, and are installed only once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from bench.table import Figure

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aish-bench"
ROOT = Path(__file__).parents[1]
LITELLM = "litellm[proxy]==1.106.2"
LLM = ("llm==0.36", "llm-echo==0.5")
WS = "ws@8.23.0"
NODE_SOCKETIO = "socket.io@4.8.4"
PYTHON_SOCKETIO = (
    "python-socketio==5.18.1",
    "uvicorn==0.54.0",
    "uvloop==0.23.0",
    "websockets==17.4",
    "httptools",
)
INSTALL_SECONDS = 600


class Unavailable(Exception):
    """A program for comparison cannot be installed or started on this machine. The text says why."""

    def figure(self, what: str) -> Figure:
        """Return the row that replaces the program's figures."""
        return Figure(what, f"skipped: {self}")


def python_peer(name: str, *requirements: str) -> Path:
    """Install Python packages in an environment of their own. Return the folder of its commands.

    Raises:
        Unavailable: the packages cannot be installed.
    """
    folder = CACHE / name
    uv = shutil.which("uv") or str(ROOT / ".tools/bin/uv")
    if not _is_there(folder, requirements):
        _install([uv, "venv", "--quiet", "--allow-existing", "--python", ">=3.11", str(folder)], CACHE)
        pip = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", f"{folder}/bin/python"]
        _install([*pip, *requirements], CACHE)
        _note(folder, requirements)
    return folder / "bin"


def node_peer(name: str, package: str) -> Path:
    """Install an npm package in a folder of its own. Return the folder, in which Node finds the package.

    Raises:
        Unavailable: Node is not installed, or the package cannot be installed.
    """
    folder = CACHE / name
    if not _is_there(folder, (package,)):
        folder.mkdir(parents=True, exist_ok=True)
        _install(["npm", "install", "--no-audit", "--no-fund", "--prefix", ".", package], folder)
        _note(folder, (package,))
    if shutil.which("node") is None:
        raise Unavailable("node is not installed")
    return folder


def _is_there(folder: Path, requirements: tuple[str, ...]) -> bool:
    stamp = folder / ".installed"
    return stamp.exists() and stamp.read_text().split() == list(requirements)


def _note(folder: Path, requirements: tuple[str, ...]) -> None:
    (folder / ".installed").write_text("\n".join(requirements) + "\n")


def _install(command: list[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(
            f"`{Path(command[0]).name}` could not install {command[-1]} ({type(error).__name__})"
        ) from error
