"""What a hub loads until its first answer. Everything else costs each user memory and time at every start."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.home import SECONDS, Machine

HUB = """
import gc, json, sys
early = []
gc.callbacks.append(lambda *_: early.append("uvloop" in sys.modules and not gc.get_freeze_count()))
import rhetor.cli
rhetor.cli.main(["serve", "--port", "0"])
files = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
with open(sys.argv[1], "w") as file:
    json.dump({"early": sum(early), "files": files}, file)
"""
INSTALLED = {
    "anyio",
    "click",
    "httptools",
    "msgspec",
    "python_multipart",
    "rhetor",
    "sniffio",
    "starlette",
    "typing_extensions",
    "uvicorn",
    "uvloop",
}
# each is large, and something that the hub does rarely needs it
RARE = {"difflib", "html", "html.entities", "tarfile", "tomllib", "urllib.request", "zoneinfo"}
RARE_OF_OURS = {
    "rhetor.certificates",
    "rhetor.dialects.anthropic_messages",
    "rhetor.dialects.openai_chat",
    "rhetor.dialects.openai_responses",
    "rhetor.maintenance.backup",
    "rhetor.mcp_stdio",
    "rhetor.sealing.age",
    "rhetor.transports.compatible.table",
}


@pytest.mark.long
def test_a_hub_loads_no_large_library_for_its_first_answer(machine: Machine, tmp_path: Path) -> None:
    """The second start reads the key that the first one has sealed, and writes to the audit with it."""
    for start in ("first", "second"):
        found = tmp_path / start
        command = [sys.executable, "-c", HUB, str(found)]
        with subprocess.Popen(command, env=machine.environment, stdout=subprocess.PIPE, text=True) as hub:
            assert hub.stdout is not None
            assert hub.stdout.readline().startswith("rhetor listening on ")
            assert machine.run("apollo", "hi").returncode == 0
            hub.send_signal(signal.SIGTERM)
            assert hub.wait(SECONDS) == 0
        seen = json.loads(found.read_text())
        files = {name: file for name, file in seen["files"].items() if not name.startswith("_")}
        installed = {name.split(".")[0] for name, file in files.items() if "site-packages" in file}
        assert installed <= INSTALLED, start
        assert not files.keys() & (RARE | RARE_OF_OURS), start
        assert seen["early"] == 0, "collections during the import take a fifth of its time"
