"""`python -m tests.interop.install NAME…`: install the newest coding agents from npm into a cache, and `llm`.

An installation that is less than a day old is used unchanged; if npm fails, an older one is used.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.interop.agents import AGENTS, CACHE, Agent, named

DAY = 86_400.0
INSTALL_SECONDS = 300.0
MARK = ".installed"
LLM_PACKAGE = "llm==0.36"
LLM = CACHE / LLM_PACKAGE / "bin" / "llm"


def main(names: list[str]) -> int:
    """Install the agents; return 0 if all are available."""
    unknown = set(names) - {agent.name for agent in AGENTS}
    if unknown or not names:
        return _said(f"name some of: {' '.join(agent.name for agent in AGENTS)}", 2)
    missing = [agent.name for agent in map(named, names) if not _made_sure(agent)]
    missing += [] if _has_llm() else ["llm"]
    return _said(f"not installed: {' '.join(missing)}", 1) if missing else 0


def _made_sure(agent: Agent) -> bool:
    program = agent.bin / agent.executable
    if not program.exists() or _age(agent) > DAY:
        _install(agent)
    if not program.exists():
        return False
    version = _run([str(program), "--version"], 60.0)
    _said(f"{agent.name}: {version.stdout.strip() or version.stderr.strip()} in {agent.folder}", 0)
    return version.returncode == 0


def _has_llm() -> bool:
    """Return whether `llm` is installed, with what it needs, in an environment of its own."""
    if not LLM.exists():
        uv = shutil.which("uv") or str(Path(__file__).parents[2] / ".tools" / "bin" / "uv")
        folder = LLM.parents[1]
        folder.parent.mkdir(parents=True, exist_ok=True)
        _run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)])
        ran = _run([uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), LLM_PACKAGE])
        if ran.returncode != 0:
            _said(f"{LLM_PACKAGE}: uv failed ({ran.returncode}): {ran.stderr.strip()[-2000:]}", 1)
    return LLM.exists()


def _age(agent: Agent) -> float:
    """Return the seconds since it was installed."""
    marks = [path for path in (agent.folder / MARK, agent.folder / "package.json") if path.exists()]
    return time.time() - max((path.stat().st_mtime for path in marks), default=0.0)


def _install(agent: Agent) -> None:
    npm = shutil.which("npm")
    if npm is None:
        _said(f"{agent.package}: npm is missing: install Node.js 20 or newer, which brings it", 1)
        return
    agent.folder.mkdir(parents=True, exist_ok=True)
    options = ("--no-audit", "--no-fund", "--no-progress", "--loglevel=error")
    ran = _run([npm, "install", "--prefix", str(agent.folder), *options, f"{agent.package}@latest"])
    if ran.returncode == 0:
        (agent.folder / MARK).touch()
    else:
        _said(f"{agent.package}: npm failed ({ran.returncode}): {ran.stderr.strip()[-2000:]}", 1)


def _run(command: list[str], seconds: float = INSTALL_SECONDS) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, and kill it after `seconds`."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path.home(),
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        out, err = process.communicate()
        err += f"\nit was not done in {seconds:g} s"
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _said(text: str, code: int) -> int:
    (sys.stderr if code else sys.stdout).write(f"{text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
