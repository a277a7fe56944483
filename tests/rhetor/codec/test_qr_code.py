"""QR codes can be read."""

from __future__ import annotations

import pytest

from rhetor.codec.qr_code import modules_of
from tests.qr_reading import read, with_border


@pytest.mark.parametrize(
    "text",
    [
        "https://192.168.1.20:8300/login?code=7QKM4XPD9TRC0VWE",
        "https://[fd00:1234:5678:9abc:def0:1234:5678:9abc]:8300/login?code=7QKM4XPD9TRC0VWE",
        f"https://{'a' * 60}.{'b' * 60}.home.arpa:65535/login?code=7QKM4XPD9TRC0VWE",
    ],
)
def test_a_reader_finds_the_text(text: str) -> None:
    modules = modules_of(text)
    assert {len(row) for row in modules} == {len(modules)}
    assert read(with_border(modules)) == text
