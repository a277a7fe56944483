"""The scale of the tests: small in `make test`, full in `make test-long`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
FULL = os.environ.get("RHETOR_TEST_SCALE") == "full"


def scaled(full: int, small: int) -> int:
    """`full` in `make test-long`, `small` otherwise: a number of examples, repetitions or clients."""
    return full if FULL else small


def sampled(items: Sequence[T], step: int) -> Sequence[T]:
    """Return all items in `make test-long`, and every `step`-th one otherwise."""
    return items if FULL else items[::step]
