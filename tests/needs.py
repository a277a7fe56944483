"""What a test needs of the machine: programs that may not be installed."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def needs(*names: str) -> str:
    """The path of the first of these programs that is installed; see `lacking` for when none is."""
    found = next((path for name in names if (path := shutil.which(name))), None)
    return found or lacking(f"{names[0]} is not installed")


def lacking(reason: str) -> NoReturn:
    """Skip the test because the machine lacks something that it needs. With `CI=true` the test fails instead:
    `.ci/run` installs every such program, so a skipped test would hide that an installation failed."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI=true does not allow a test to be skipped for that", pytrace=False)
    pytest.skip(reason)
