"""Where a call to a model goes: values, resolved and ready."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rhetor.drivers.models.urls import Reach

Kind = Literal["openai", "anthropic", "openrouter"]


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider that can be called; `reach` None: its URL is built in and needs no check."""

    name: str
    kind: Kind
    base_url: str
    key: str = field(default="", repr=False)
    key_env: str = ""
    reach: Reach | None = None


@dataclass(frozen=True, slots=True)
class AgentTarget:
    """A coding agent as a plain model. `name`: what its reference calls it; `peer`: its entry among the
    tools; `model`: its own name for one, None for its default."""

    name: str
    peer: str
    model: str | None = None

    @property
    def ref(self) -> str:
        return f"cli:{self.name}/{self.model}" if self.model else f"cli:{self.name}"


@dataclass(frozen=True, slots=True)
class Target:
    """One model of one provider."""

    provider: Provider
    model: str

    @property
    def ref(self) -> str:
        """How the configuration, events and prices name it."""
        return f"{self.provider.name}/{self.model}"
