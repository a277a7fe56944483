"""LiteLLM's proxy in a process of its own, in front of the scripted provider."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.peers import LITELLM, Unavailable, python_peer
from bench.process import clean_environment

KEY = "sk-bench"
START_SECONDS = 90.0
CONFIG = """\
model_list:
  - model_name: scripted
    litellm_params: {{model: openai/scripted, api_base: {url}/v1, api_key: k}}
general_settings: {{master_key: {key}}}
"""
# as its guide for production recommends, and without requests to other machines
VARIABLES = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "NO_DOCS": "True",
}


@dataclass(frozen=True, slots=True)
class Proxy:
    pid: int
    port: int


@contextmanager
def running_proxy(url: str) -> Iterator[Proxy]:
    """Run the proxy in front of the provider at `url`, with one worker, until the end of the `with`.

    Raises:
        Unavailable: the proxy cannot be installed, or does not start.
    """
    commands = python_peer("litellm", LITELLM)
    with tempfile.TemporaryDirectory(prefix="aish-bench-") as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(CONFIG.format(url=url, key=KEY))
        port = _free_port()
        command = [f"{commands}/litellm", "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        with (
            (Path(folder) / "log").open("wb") as log,
            subprocess.Popen(
                command, env={**clean_environment(folder), **VARIABLES}, stdout=log, stderr=log, cwd=folder
            ) as proxy,
        ):
            try:
                _wait_for(port, proxy)
                yield Proxy(proxy.pid, port)
            finally:
                proxy.terminate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_for(port: int, proxy: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and proxy.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise Unavailable("LiteLLM's proxy did not start")
