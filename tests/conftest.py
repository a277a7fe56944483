"""Fixtures and hooks that every test may use."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.scale import scaled

# how many examples Hypothesis tries if a test does not say it; none has a deadline, for machines are busy
settings.register_profile("here", max_examples=scaled(100, 30), deadline=None)
settings.load_profile("here")

pytest_plugins = ["tests.alone", "tests.summary"]

# who runs the tests in the background may ignore these, and what a test starts would, too
for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(signum) is signal.SIG_IGN:
        signal.signal(signum, signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL)


def pytest_collection_finish() -> None:
    """Let collections of garbage cost little, as the hub does it: what was imported stays until the end."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture
def anyio_backend() -> str:
    """Tests marked `anyio` run on asyncio, the only loop that the hub knows."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _home_of_the_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Shells and editors that tests start read and write files in HOME: each worker has a new, empty one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield
