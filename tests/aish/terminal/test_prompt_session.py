"""The input line of a prompt, without the shell around it."""

from __future__ import annotations

import os
import sys

import pytest

from aish.terminal.prompt_session import make_session


def test_ctrl_c_that_is_pressed_again_and_again_ends_the_input_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs) as keys:
        monkeypatch.setattr(sys, "stdin", keys)
        session = make_session(lambda text: [], None, list)

        def press(times: int = 20) -> None:
            session.app.key_processor.send_sigint()
            press_soon(times - 1)

        def press_soon(times: int = 20) -> None:
            if times and session.app.loop is not None:
                session.app.loop.call_soon(press, times)

        with pytest.raises(KeyboardInterrupt):
            session.prompt("> ", pre_run=press_soon)
    os.close(ours)
    assert caplog.text == ""
