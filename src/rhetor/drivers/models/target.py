"""Where a call to a model goes: a provider with its URL and key and one of its models, or a coding agent."""

from __future__ import annotations

from typing import Literal

import msgspec

from rhetor.drivers.models.urls import Reach

Kind = Literal["openai", "anthropic", "openrouter"]


class Provider(msgspec.Struct, frozen=True):
    """A provider that can be called. `key_env`: the variable that has, or should have, its key; empty if no
    key is needed. `reach` is None if the URL is built in and needs no check. `local`: the small model that
    the hub itself runs; the URL and the key are those of its process, and `base_url` is only shown."""

    name: str
    kind: Kind
    base_url: str
    key: str = ""
    key_env: str = ""
    reach: Reach | None = None
    local: str = ""

    def __repr__(self) -> str:
        """Return the provider without its key, which must not appear in logs."""
        return f"Provider(name={self.name!r}, kind={self.kind!r}, base_url={self.base_url!r})"


class AgentTarget(msgspec.Struct, frozen=True):
    """A coding agent that answers as a model. `name`: its name in the reference. `peer`: its entry among the
    tools. `model`: the agent's own name of a model, None for its default."""

    name: str
    peer: str
    model: str | None = None

    @property
    def ref(self) -> str:
        return f"cli:{self.name}/{self.model}" if self.model else f"cli:{self.name}"


class Target(msgspec.Struct, frozen=True):
    """One model of one provider."""

    provider: Provider
    model: str

    @property
    def ref(self) -> str:
        """The name of the model in the configuration, in events and in prices."""
        return f"{self.provider.name}/{self.model}"
