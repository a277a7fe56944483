"""Small files as models read them: their beginnings are real, the rest is arbitrary."""

from __future__ import annotations

import random

_ANY = random.Random(7).randbytes(2000)
PNG = b"\x89PNG\r\n\x1a\n" + _ANY
JPEG = b"\xff\xd8\xff\xe0" + _ANY
PDF = b"%PDF-1.7\n" + _ANY
WAV = b"RIFF\xd0\x07\x00\x00WAVEfmt " + _ANY
MP3 = b"ID3\x04" + _ANY
