"""Waiting for an answer ends early: by a timeout, a signal, Ctrl-C or a closed pipe."""

from __future__ import annotations

import os
import signal
import threading
from socket import socket

import pytest

from tests.aish.scripted import (
    APOLLO,
    SESSION,
    TIMEOUT,
    Ran,
    ScriptedHub,
    Shell,
    answer,
    content,
    event,
    frame,
    spoken,
    stream_head,
)

INTERRUPT = "POST /api/v2/sessions/s_1/turns/t_1/abandon"


def test_a_timeout_interrupts_the_turn(aish: Shell, hub: ScriptedHub) -> None:
    over = threading.Event()

    def never(connection: socket) -> None:
        connection.sendall(stream_head(SESSION) + frame(content("well")))
        over.wait(20)

    hub.on(APOLLO, never)
    hub.on(INTERRUPT, answer({}))
    ran = aish("apollo", "x", "--timeout", "0.2")
    over.set()
    told = "aish: the answer of apollo is cut off\naish: timed out waiting for an answer\n"
    assert ran == Ran(124, "well\n", told)
    hub.wait_for(INTERRUPT)


def test_stderr_names_a_wrapped_program_that_continues(aish: Shell, hub: ScriptedHub) -> None:
    over = threading.Event()

    def never(connection: socket) -> None:
        connection.sendall(stream_head(SESSION))
        over.wait(20)

    hub.on("POST /api/v2/ai/box/stream", never)
    hub.on(INTERRUPT, answer({"turn_id": "t_1", "continues": "box"}))
    ran = aish("box", "make", "-x", "--timeout", "0.2")
    over.set()
    assert (ran.code, ran.err) == (
        124,
        "box continues with the message (aish explain box shows its status)\n"
        "aish: timed out waiting for an answer\n",
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_an_anonymous_turn_and_then_the_shell(
    aish: Shell, hub: ScriptedHub, number: signal.Signals
) -> None:
    over = threading.Event()

    def never(connection: socket) -> None:
        connection.sendall(stream_head(SESSION) + frame(content("well")))
        over.wait(20)

    hub.on(APOLLO, never)
    hub.on(INTERRUPT, answer({}))
    for words, abandoned in ((("-s",), 0), ((), 1)):
        with aish.running("apollo", "x", *words) as process:
            assert process.stdout
            assert os.read(process.stdout.fileno(), 100) == b"well"
            process.send_signal(number)
            assert process.communicate(timeout=TIMEOUT)[0] == b"\n"
            assert process.returncode == -number
        assert [f"{r.method} {r.path}" for r in hub.requests].count(INTERRUPT) == abandoned
    over.set()


def test_a_signal_ends_a_plan_and_its_programs(aish: Shell, hub: ScriptedHub) -> None:
    over = threading.Event()
    hub.on("GET /api/v2/ai", answer({"peers": [{"id": "apollo"}, {"id": "athena"}]}))

    def never(connection: socket) -> None:
        steps = [{"id": "apollo", "depends_on": []}, {"id": "athena", "depends_on": ["apollo"]}]
        started = event("plan.started", steps=steps)
        said = frame(started) + b"".join(map(frame, spoken("athena", "athena", "well")[:2]))
        connection.sendall(stream_head({"x-plan-id": "p_1"}) + said)
        over.wait(20)

    hub.on("POST /api/v2/plans", never)
    hub.on("DELETE /api/v2/plans/p_1", answer({}))
    with aish.running("-c", "apollo x | athena | cat") as process:
        assert process.stdout
        assert os.read(process.stdout.fileno(), 100) == b"well"
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == -signal.SIGTERM
    over.set()
    hub.wait_for("DELETE /api/v2/plans/p_1")


def test_ctrl_c_interrupts_the_turn(aish: Shell, hub: ScriptedHub) -> None:
    over = threading.Event()

    def never(connection: socket) -> None:
        connection.sendall(stream_head(SESSION) + frame(content("well")))
        over.wait(20)

    hub.on(APOLLO, never)
    hub.on(INTERRUPT, answer({}))
    with aish.running("apollo", "x") as process:
        assert process.stdout
        assert os.read(process.stdout.fileno(), 100) == b"well"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == (b"\n", b"")
        assert process.returncode == 130
    over.set()
    hub.wait_for(INTERRUPT)


def test_a_closed_pipe_ends_the_shell_quietly_and_interrupts_the_turn(aish: Shell, hub: ScriptedHub) -> None:
    go_on = threading.Event()

    def long_answer(connection: socket) -> None:
        connection.sendall(stream_head(SESSION) + frame(content("one line\n")))
        assert go_on.wait(20)
        connection.sendall(frame(content("another\n")))
        connection.recv(1)

    hub.on(APOLLO, long_answer)
    hub.on(INTERRUPT, answer({}))
    with aish.running("apollo", "x") as process:
        assert process.stdout and process.stderr
        assert os.read(process.stdout.fileno(), 100) == b"one line\n"
        process.stdout.close()
        go_on.set()
        assert (process.stderr.read(), process.wait(20)) == (b"", 0)
    hub.wait_for(INTERRUPT)
