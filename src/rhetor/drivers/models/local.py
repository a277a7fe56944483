"""What the resolver and the clients need of the small models that the hub itself can run.

They are the models of the provider `local`, whose process is started when one of them is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rhetor.drivers.models.client import Client
from rhetor.drivers.models.target import Provider, Target
from rhetor.drivers.models.urls import Reach

LOCAL = "local"
_SHOWN_URL = "http://127.0.0.1/v1"  # each process has a port and a key of its own


class Local(Protocol):
    """The small models on this machine."""

    def names(self) -> Sequence[str]:
        """Return the models that can be run."""
        ...

    def ready(self) -> str | None:
        """Return the model that `auto` may use; None if there is none."""
        ...

    def require(self, name: str) -> None:
        """Check that a model can be run.

        Raises:
            ModelUnknown: there is no such model, or nothing that runs it.
        """
        ...

    async def client(self, name: str) -> Client:
        """Return a client for a model, whose process is started if it does not run.

        Raises:
            ProviderFailed: it does not start.
        """
        ...


def local_target(name: str) -> Target:
    return Target(Provider(LOCAL, "openai", _SHOWN_URL, reach=Reach(loopback=True), local=name), name)
