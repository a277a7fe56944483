"""Checks a model when a client or a setting names it, so that a wrong name is reported before a turn."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from rhetor.drivers.models.resolve import Models
from rhetor.drivers.models.target import Provider, Target
from rhetor.errors import ModelUnknown, ProviderFailed, UnknownModel

SECONDS = 5.0  # for the provider to answer; one that does not is not a reason to reject a model
_SHOWN = 5  # models in a hint


class Lists(Protocol):
    """What providers say about their models."""

    async def list_models(self, provider: Provider) -> Sequence[str]: ...

    async def has_model(self, provider: Provider, model: str) -> bool: ...


class Finding(msgspec.Struct, frozen=True):
    """What is wrong with a model that a setting names. `keys`: those of the setting. `unknown`: the provider
    says that it does not have the model; otherwise the provider or the agent is not available."""

    keys: tuple[str | int, ...]
    model: str
    detail: str
    hint: str
    unknown: bool

    @property
    def reason(self) -> str:
        return f"{self.detail}; {self.hint}" if self.hint else self.detail

    def shown(self) -> dict[str, Any]:
        """Return the finding as JSON values, for a person who looks for the setting."""
        setting = ".".join(map(str, self.keys))
        rest = {"model": self.model, "detail": self.detail, "hint": self.hint, "unknown": self.unknown}
        return {"setting": setting, **rest}


class GivenModels:
    """`lists` asks the providers. Models that were found are remembered until `forget`."""

    def __init__(self, models: Models, lists: Lists) -> None:
        self._models = models
        self._lists = lists
        self._found: set[str] = set()

    def forget(self) -> None:
        """Forget the models that were found: the providers or their keys are others now."""
        self._found.clear()

    async def require(self, ref: str) -> None:
        """Check that a provider has the model. A provider that cannot be asked now may have it.

        Raises:
            UnknownModel: no provider knows the model.
        """
        try:
            await self._check(ref)
        except ModelUnknown as failure:
            raise UnknownModel(failure.detail, model=ref, hint=failure.data.get("hint", "")) from failure
        except (ProviderFailed, TimeoutError):
            return

    async def finding(self, keys: tuple[str | int, ...], ref: str) -> Finding | None:
        """Return what is wrong with the model that the setting under `keys` names; None if nothing is."""
        try:
            await self._check(ref)
        except UnknownModel as error:
            return Finding(keys, error.data["model"], error.detail, error.data["hint"], True)
        except ProviderFailed as failure:
            return Finding(keys, ref, failure.detail, failure.data.get("hint") or "", False)
        except TimeoutError:
            return Finding(keys, ref, f"the provider did not answer within {SECONDS:g} s", "", False)
        return None

    async def _check(self, ref: str) -> None:
        """Ask the provider for the model.

        Raises:
            UnknownModel: the provider does not have it.
            ProviderFailed: the reference leads to no provider, or the provider did not answer.
            TimeoutError: the provider did not answer in time.
        """
        if ref in self._found:
            return
        async with asyncio.timeout(SECONDS):
            target = await self._models.resolve(ref)
            names = await self._names(target) if isinstance(target, Target) else []
        if names and isinstance(target, Target):
            raise _unknown(target, names)
        self._found.add(ref)

    async def _names(self, target: Target) -> Sequence[str]:
        """Return the provider's models if the model is none of them; otherwise nothing."""
        names = await self._lists.list_models(target.provider)
        model = target.model
        # Ollama adds the tag, OpenRouter's variants have a suffix, and no provider lists all its aliases
        if not names or {model, f"{model}:latest", model.partition(":")[0]} & set(names):
            return []
        return [] if await self._lists.has_model(target.provider, model) else names


def _unknown(target: Target, names: Sequence[str]) -> UnknownModel:
    from difflib import get_close_matches  # only an error needs it

    near = get_close_matches(target.model, names, 1, 0.6)
    provider = target.provider.name
    listed = ", ".join(f"{provider}/{name}" for name in names[:_SHOWN])
    hint = f"did you mean {provider}/{near[0]}?" if near else f"it has {listed}"
    more = "" if near or len(names) <= _SHOWN else f" and {len(names) - _SHOWN} more"
    return UnknownModel(f"{provider} has no model {target.model!r}", model=target.ref, hint=hint + more)
