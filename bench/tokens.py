"""How long the hub takes to verify a token, without the rest of the request.

A token that was verified before is found by its SHA-256. The first time, its signature is verified, its
content is read strictly, and its claims are checked; the signature alone is measured alternately with that.
The hub's own token is compared with the file, for which each request calls stat(2). The targets apply to the
medians.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.stats import percentile
from bench.table import Figure
from rhetor.auth.access_tokens import AccessTokens
from rhetor.auth.tokens import TokenFile, load_token
from rhetor.auth.verifier import Verifier
from rhetor.domain.principal import Principal
from rhetor.domain.token_commands import IssueToken
from rhetor.hub.catalog.identities import load_keys
from rhetor.hub.core.ids import wall_clock
from rhetor.hub.opening import open_hub
from rhetor.hub.peers import Peers
from rhetor.store.memory import MemoryStore

TOKENS, TIMES = 2_000, 200_000


def run() -> list[Figure]:
    return asyncio.run(_measured())


async def _measured() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "token")
        own = load_token(path)
        async with open_hub(MemoryStore(clock=wall_clock), Peers([]), {}) as hub:
            access = AccessTokens(
                hub.state.identities, partial(load_keys, hub.state.identities, hub.state.store)
            )
            verifier = Verifier(TokenFile(path), "me", access)
            owner = Principal.person("me", local=True)
            grant = (await hub.execute(owner, IssueToken(("read", "send"), name="bench"))).grant
            await access.ready()
            tokens = [access.issue(grant, 600) for _ in range(TOKENS + 1)]
            await verifier.verify(tokens.pop())  # the key is opened once
            first, alone = await _alternately(verifier, tokens)
            cached = await _seconds(verifier, tokens[:1] * TIMES)
            from_file = await _seconds(verifier, [own] * TIMES)
    return [
        _figure("verifying a token that was verified before, median", cached, 5),
        _figure("verifying a token for the first time, median", first, 200),
        Figure("… its signature alone (Ed25519), median", f"{percentile(alone, 0.5) * 1e6:.1f} µs"),
        Figure("verifying the hub's own token, median", f"{percentile(from_file, 0.5) * 1e6:.1f} µs"),
    ]


async def _alternately(verifier: Verifier, tokens: Sequence[str]) -> tuple[list[float], list[float]]:
    """Verify each token, and as often the signature of a text of the same length."""
    key, content = Ed25519PrivateKey.generate(), tokens[0].rpartition(".")[0].encode()
    public, signature = key.public_key(), key.sign(content)
    found: list[float] = []
    alone: list[float] = []
    for token in tokens:
        found += await _seconds(verifier, [token])
        began = time.perf_counter()
        public.verify(signature, content)
        alone.append(time.perf_counter() - began)
    return found, alone


async def _seconds(verifier: Verifier, tokens: Sequence[str]) -> list[float]:
    found: list[float] = []
    for token in tokens:
        began = time.perf_counter()
        await verifier.verify(token)
        found.append(time.perf_counter() - began)
    return found


def _figure(what: str, seconds: Sequence[float], target: int) -> Figure:
    median = percentile(seconds, 0.5) * 1e6
    return Figure(what, f"{median:.1f} µs", f"≤{target} µs", median <= target)
