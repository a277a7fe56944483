"""Rings of keys for tests."""

from __future__ import annotations

from pathlib import Path

from rhetor.sealing.ring import Ring


def ring_in(folder: Path) -> Ring:
    return Ring(folder)
