"""Third-party clients that tests run."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

from tests.needs import lacking, needs

CACHE = Path(os.environ.get("AISH_CLIENTS") or Path.home() / ".cache" / "aish-clients")
WS = "ws@8"
INSTALL_SECONDS = 60.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def node_with_ws() -> tuple[str, Path]:
    """Return the path of Node, and a folder in which it finds `ws`; see `tests.needs` if one is missing."""
    node = needs("node")
    if why := _ws_is_missing():
        lacking(why)
    return node, CACHE


@cache
def _ws_is_missing() -> str:
    """Return why npm cannot install it into the cache, or ""; tried once per run."""
    if (CACHE / "node_modules" / "ws" / "package.json").exists():
        return ""
    npm = needs("npm")
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
