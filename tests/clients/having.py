"""The programs of others that tests use as clients, where they can be had."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("AISH_CLIENTS") or Path.home() / ".cache" / "aish-clients")
WS = "ws@8"
INSTALL_SECONDS = 60.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def program(*names: str) -> str:
    """The first of them that is there; else the test is skipped."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"{names[0]} is not installed")


def node_with_ws() -> tuple[str, Path]:
    """Node, and a folder in which it finds `ws`; else the test is skipped."""
    node = program("node")
    if why := _ws_is_missing():
        pytest.skip(why)
    return node, CACHE


@cache
def _ws_is_missing() -> str:
    """Why, where npm cannot put it into the cache; asked once in a run."""
    if (CACHE / "node_modules" / "ws" / "package.json").exists():
        return ""
    npm = program("npm")
    CACHE.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(CACHE), "--no-audit", "--no-fund", "--no-progress"]
    try:
        subprocess.run(
            [*command, "--fetch-retries=0", "--fetch-timeout=15000", WS],
            cwd=CACHE,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.SubprocessError as error:
        return f"npm could not install {WS} ({type(error).__name__})"
    return ""
