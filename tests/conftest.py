"""Fixtures that every test may use."""

import signal

import pytest

# who runs the tests in the background may ignore these, and what a test starts would, too
for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(signum) is signal.SIG_IGN:
        signal.signal(signum, signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture
def anyio_backend() -> str:
    """Tests marked `anyio` run on asyncio, the only loop that the hub knows."""
    return "asyncio"
