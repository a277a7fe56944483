"""What models take besides text, and which of them give JSON answers by a schema.

The configuration comes first, then what the provider lists about its models, then the names of well-known
models. A model of which none of them says anything takes only text: some servers drop an image silently.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from rhetor.codec.json_schema import check_schema
from rhetor.domain.parts import TEXT_ONLY, Take
from rhetor.domain.peer import Peer
from rhetor.drivers.agents.inputs import agent_inputs
from rhetor.drivers.base import Inputs
from rhetor.drivers.models.local_models import LOCAL_SERVERS
from rhetor.drivers.models.resolve import OFFLINE, Models
from rhetor.drivers.models.target import AgentTarget, Provider, Target
from rhetor.errors import ModelUnknown, ProviderFailed, UnknownModel

Taken = frozenset[Take]
ListTaken = Callable[[Provider], Awaitable[Mapping[str, Taken]]]
log = logging.getLogger(__name__)

_VISION: Taken = frozenset({"image"})
_SOUND: Taken = frozenset({"audio"})
_JSON: Taken = frozenset({"json"})
_DOCUMENTS: Taken = frozenset({"image", "pdf"})
_FULL: Taken = frozenset({"image", "pdf", "json"})
# the first pattern that matches the name of a model, without its vendor, decides
_BY_NAME: tuple[tuple[str, Taken], ...] = (
    (r"embed|transcribe|whisper|tts|realtime|live|translate|moderation|^gpt-image|^dall-e", TEXT_ONLY),
    (r"^claude-(2|instant|v1)", TEXT_ONLY),
    (r"^claude-3-(haiku|opus|sonnet)", _VISION),
    (r"^claude-(3|(opus|sonnet)-4-(0|2))|^claude-(opus|sonnet)-4$", _DOCUMENTS),
    (r"^claude-", _FULL),
    (r"^gpt-(4o(-mini)?-)?audio", _SOUND),
    (r"^(o1|o3)-mini|^o1-preview", _JSON),
    (r"^gpt-4-(turbo|vision)", _VISION),
    (r"^(chatgpt-4o|gpt-4o|gpt-4\.[1-9]|gpt-[5-9]|gpt-chat|o[1-9](-|$))", _FULL),
    (r"^gemini-", frozenset({"image", "audio", "json"})),
    (r"llava|[-_.:0-9]vl\b|vision|pixtral|gemma-?3|minicpm-v|moondream|llama-?4|mistral-small-?3", _VISION),
)
_LOCAL = frozenset(server.name for server in LOCAL_SERVERS)
# the APIs that say of each model what it takes
TELLING = ("anthropic", "openrouter")


def by_name(model: str) -> Taken:
    """Return what a model takes, as far as its name shows."""
    name = model.rpartition("/")[2].lower()
    return next((takes for pattern, takes in _BY_NAME if re.search(pattern, name)), TEXT_ONLY)


class ModelInputs:
    """What models take. `own`: of the configuration, by `provider/model`. `listed` asks a provider."""

    def __init__(self, listed: ListTaken, own: Mapping[str, Taken] = MappingProxyType({})) -> None:
        self._listed = listed
        self._own = own
        self._known: dict[Provider, Mapping[str, Taken]] = {}

    def forget(self) -> None:
        """Forget what providers said: they or their keys are others now."""
        self._known = {}

    async def of(self, target: Target) -> Taken:
        """Return what a model takes."""
        if (own := self._own.get(target.ref)) is not None:
            return own
        listed = await self._of_provider(target.provider)
        return listed.get(target.model) or self.known(target)

    def known(self, target: Target) -> Taken:
        """Return what a model takes, as far as is known without asking its provider."""
        if (own := self._own.get(target.ref)) is not None:
            return own
        listed = self._known.get(target.provider, {}).get(target.model)
        if listed is not None:
            return listed
        # these servers constrain the answers of any model
        return by_name(target.model) | (
            _JSON if target.provider.name in _LOCAL or target.provider.local else TEXT_ONLY
        )

    async def _of_provider(self, provider: Provider) -> Mapping[str, Taken]:
        if provider.kind not in TELLING:
            return {}
        if provider not in self._known:
            try:
                self._known[provider] = await self._listed(provider)
            except ProviderFailed as failure:
                log.info("a provider does not say what its models take", extra={"reason": failure.detail})
                return {}
        return self._known[provider]


class KnownInputs:
    """What all peers take: models, and coding agents, themselves or as models of specialists. `drivers`: the
    names of the agents' drivers, by the names of the agents."""

    def __init__(self, models: Models, inputs: ModelInputs, drivers: Mapping[str, str]) -> None:
        self._models = models
        self._inputs = inputs
        self._drivers = drivers
        self._one_check = asyncio.Lock()
        self._checked = b""  # the last schema that was valid

    async def of(self, peer: Peer) -> Inputs:
        """As `PeerInputs.of`."""
        if peer.program is not None:
            return agent_inputs(peer.name, peer.driver)
        if not peer.has_voice:
            return Inputs(peer.name, TEXT_ONLY)
        try:
            return await self.of_model(peer.model)
        except ModelUnknown as failure:
            hint = failure.data.get("hint", "")
            raise UnknownModel(failure.detail, model=peer.model, hint=hint) from failure

    async def of_model(self, ref: str | None) -> Inputs:
        """Return what the model of a reference takes.

        Raises:
            ProviderFailed: it cannot be called.
        """
        target = await self._models.resolve(ref)
        if target is None:
            return Inputs(OFFLINE, TEXT_ONLY, "add a provider with a model that takes it")
        if isinstance(target, AgentTarget):
            return agent_inputs(target.ref, self._drivers.get(target.peer, ""))
        return Inputs(target.ref, await self._inputs.of(target), hint_for(target.ref))

    async def check_schema(self, schema: Mapping[str, Any]) -> None:
        """As `PeerInputs.check_schema`."""
        encoded = msgspec.json.encode(schema)
        async with self._one_check:  # a flood of them must not take all threads
            if encoded != self._checked:  # all steps of a plan may have the same
                await asyncio.to_thread(check_schema, schema)
                self._checked = encoded


def hint_for(ref: str) -> str:
    """Return what to do if a model does not take something."""
    return f"use -m with another model (aish models), or set models.takes if {ref} takes it"
