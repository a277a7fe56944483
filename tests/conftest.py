"""Fixtures and hooks that every test may use."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.at_end import AT_END
from tests.scale import scaled

# the default number of Hypothesis examples; there is no deadline, because machines are busy
settings.register_profile("here", max_examples=scaled(100, 20), deadline=None)
settings.load_profile("here")

pytest_plugins = ["tests.importing", "tests.postgres.fixtures", "tests.summary", "tests.workers"]

# tests that run in the background may ignore these signals, and their children would inherit that
for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(signum) is signal.SIG_IGN:
        signal.signal(signum, signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL)


def pytest_collection_finish() -> None:
    """Make garbage collections cheap, like the hub: imported objects stay until the end."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture
def anyio_backend() -> str:
    """Run tests marked `anyio` on asyncio, the only loop that the hub supports."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _ends() -> Iterator[None]:
    with AT_END:
        yield


@pytest.fixture(scope="session", autouse=True)
def _home_of_the_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give each worker a new, empty HOME, because shells and editors read and write files in it, and a folder
    for the sockets of hubs whose own folders have long paths."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
        yield
