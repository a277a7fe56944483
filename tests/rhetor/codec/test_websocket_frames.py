"""Frames that a server writes, compared with those of the `websockets` package."""

from __future__ import annotations

import pytest
from websockets.frames import Frame, Opcode

from rhetor.codec.websocket_frames import text_frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 1_000_003])
def test_a_frame_has_the_same_bytes_as_that_of_another_library(size: int) -> None:
    payload = b"x" * size
    assert text_frame(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)
