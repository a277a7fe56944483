"""`make demo` on a machine without any key, as a person sees it on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from tests.model.machine import ModelMachine

pytestmark = [pytest.mark.model, pytest.mark.alone]
ROOT = Path(__file__).parents[2]
LINE = 'echo "Design a cache" | athena | apollo'
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r|[\u2800-\u28ff] \w+  \d+ s")  # and the spinner
WORD = re.compile(r"\[From Athena\]\s*\S+\s")
SIZE = struct.pack("HHHH", 30, 100, 0, 0)
TARGET, ATTEMPTS = 3.0, 3


def demo(machine: ModelMachine) -> tuple[float, str]:
    """Run it, and return the seconds from its line to the first word of an answer, and all that it prints."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, SIZE)
    environment = {**machine.environment, "TERM": "xterm-256color"}
    made = subprocess.Popen(
        ["make", "demo"], cwd=ROOT, env=environment, stdin=slave, stdout=slave, stderr=slave, close_fds=True
    )
    os.close(slave)
    printed, began, word = "", 0.0, 0.0
    try:
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:  # the last process has closed the terminal
                break
            printed += piece.decode(errors="replace")
            if not began and f"$ {LINE}" in printed:
                began = time.monotonic()
            if not word and WORD.search(CONTROL.sub("", printed)):
                word = time.monotonic()
    finally:
        os.close(master)
    assert made.wait(60) == 0, printed
    assert began, printed
    assert word, printed
    return word - began, printed


def test_two_peers_answer_with_a_real_model_and_the_first_word_comes_within_three_seconds(
    machine: ModelMachine,
) -> None:
    assert machine.model_pid() is None or machine.run("shutdown").returncode == 0  # the demo has its own hub
    seconds, printed = demo(machine)
    for _ in range(ATTEMPTS - 1):
        if seconds <= TARGET:
            break
        seconds, printed = demo(machine)
    plain = CONTROL.sub("", printed)
    assert "✓ local/smollm2 is here, 98 MB" in plain
    assert "a small local model (smollm2) answers; add a provider for better answers" in plain
    answers = plain.partition(LINE)[2]
    assert len(re.findall(r"[A-Za-z]{2,}", answers)) > 30
    assert "offline" not in answers
    assert seconds <= TARGET, f"the first word came after {seconds:.1f} s"
