"""Writes of several clients reach the program one after the other, each complete or cut off for good."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from rhetor.codec import host_frames as frames
from rhetor.host import input as host_input
from rhetor.host.event_loop import Loop
from rhetor.host.input import Input
from rhetor.host.tty_writer import PipeInput


class Pipe:
    """An input on a pipe. `answers`: the answers to all clients, in order."""

    def __init__(self) -> None:
        self._read, write = os.pipe()
        os.set_blocking(write, False)
        self.loop = Loop()
        self.input = Input(self.loop, PipeInput(write, lambda: os.close(write)))
        self.answers: list[tuple[str, int]] = []

    def write(self, client: str, data: bytes, *, last: bool) -> None:
        self.input.write(
            client, frames.TEXT, last, data, lambda reason: self.answers.append((client, reason))
        )

    def run_for(self, seconds: float) -> None:
        self.loop._running = True
        self.loop.after(seconds, self.loop.stop)
        self.loop.run()

    def written(self) -> bytes:
        return os.read(self._read, 4096)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    monkeypatch.setattr(host_input, "TURN_SECONDS", 0.01)
    yield Pipe()


def test_the_rest_of_a_write_that_was_cut_off_is_rejected_and_the_next_write_is_not(pipe: Pipe) -> None:
    pipe.write("slow", b"begun ", last=False)
    pipe.write("other", b"whole\n", last=True)
    assert pipe.answers == [("slow", 0)]
    pipe.run_for(0.05)
    assert pipe.answers == [("slow", 0), ("other", 0)]
    pipe.write("slow", b"in the ", last=False)
    pipe.write("slow", b"middle\n", last=True)
    assert pipe.answers[2:] == [("slow", frames.TURN_LOST)] * 2
    pipe.write("slow", b"again\n", last=True)
    assert pipe.answers[4:] == [("slow", 0)]
    assert pipe.written() == b"begun whole\nagain\n"


def test_a_late_write_continues_unless_another_client_has_written_since(pipe: Pipe) -> None:
    pipe.write("slow", b"one ", last=False)
    pipe.run_for(0.05)
    pipe.write("slow", b"line\n", last=True)
    pipe.write("slow", b"half", last=False)
    pipe.run_for(0.05)
    pipe.write("other", b" whole\n", last=True)
    pipe.write("slow", b"line\n", last=True)
    assert pipe.answers == [("slow", 0), ("slow", 0), ("slow", 0), ("other", 0), ("slow", frames.TURN_LOST)]
    assert pipe.written() == b"one line\nhalf whole\n"


def test_a_write_that_was_never_late_is_not_cut_off(pipe: Pipe) -> None:
    pipe.write("one", b"first ", last=False)
    pipe.write("other", b"second\n", last=True)
    pipe.write("one", b"line\n", last=True)
    assert pipe.answers == [("one", 0), ("one", 0), ("other", 0)]
    assert pipe.written() == b"first line\nsecond\n"
