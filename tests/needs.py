"""What a test needs on the machine: programs that may be missing."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def needs(*names: str) -> str:
    """Return the path of the first of these programs that is installed; if none is, see `lacking`."""
    found = next((path for name in names if (path := shutil.which(name))), None)
    return found or lacking(f"{names[0]} is not installed")


def lacking(reason: str) -> NoReturn:
    """Skip the test because the machine lacks something that it needs. With `CI=true` the test fails instead:
    `.ci/run` installs every such program, so a skipped test would hide that an installation failed."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI=true does not allow a test to be skipped for that", pytrace=False)
    pytest.skip(reason)
