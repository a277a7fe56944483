"""Modules that take seconds to import are imported when a test uses them, not when tests are collected."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Later:
    """A module that is imported when one of its names is first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # pytest inspects everything in a test module when it collects tests
            raise AttributeError(name)
        return getattr(import_module(self._name), name)
