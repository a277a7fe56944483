"""A network namespace whose link to this machine a test cuts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

HERE, THERE = "10.219.{}.1", "10.219.{}.2"


class Namespace:
    """`address`: of this machine, as it is seen from the namespace. `inside`: the words that run a command
    there."""

    def __init__(self, name: str, number: int) -> None:
        self._name = name
        self._device = f"{name}-a"
        self.address = HERE.format(number)
        self.inside = ("ip", "netns", "exec", name)

    def cut(self) -> None:
        """Cut the link: packets are lost, and nobody is told."""
        _run("ip", "link", "set", self._device, "down")

    def mend(self) -> None:
        _run("ip", "link", "set", self._device, "up")


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A new network namespace with a link to this machine. The test is skipped if none may be made."""
    number = os.getpid() % 250 + 1
    name = f"rhj{os.getpid() % 100_000}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        pytest.skip("making a network namespace needs root and iproute2")
    made = Namespace(name, number)
    try:
        _run("ip", "link", "add", f"{name}-a", "type", "veth", "peer", "name", f"{name}-b", "netns", name)
        _run("ip", "addr", "add", f"{made.address}/24", "dev", f"{name}-a")
        made.mend()
        _run(*made.inside, "ip", "addr", "add", f"{THERE.format(number)}/24", "dev", f"{name}-b")
        _run(*made.inside, "ip", "link", "set", f"{name}-b", "up")
        _run(*made.inside, "ip", "link", "set", "lo", "up")
        yield made
    finally:
        subprocess.run(["ip", "link", "del", f"{name}-a"], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)
