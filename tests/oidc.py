"""A small OIDC issuer on loopback: its configuration, its keys, and the tokens that it signs."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from aiohttp import web
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from rhetor.auth.issuer_keys import IssuerEntry
from tests.forged import b64

Key = RSAKey | ECKey | OKPKey | OctKey


class Oidc:
    """An issuer. `keys`: those that it signs with, by kid. `published`: what its key set has. `asked`: the
    paths that were requested. `answers`: contents or statuses instead of its own, by path."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: dict[str, Key] = {}
        self.published: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.answers: dict[str, web.Response] = {}

    def entry(self, **changed: Any) -> IssuerEntry:
        given: dict[str, Any] = {
            "name": "team",
            "issuer": self.url,
            "audience": "rhetor",
            "scopes": ("read", "send"),
            "allow_private": True,
        }
        return IssuerEntry(**{**given, **changed})

    def publish(self, kid: str, key: Key, **parameters: Any) -> None:
        """Sign with a key from now on, and publish it."""
        self.keys[kid] = key
        self.published.append({**key.as_dict(private=False), "kid": kid, **parameters})

    def withdraw(self, kid: str) -> None:
        """Publish a key no longer."""
        self.published = [jwk for jwk in self.published if jwk["kid"] != kid]

    def token(
        self,
        alg: str,
        kid: str,
        *,
        key: Key | None = None,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Return a token that is signed with this algorithm. `header` and `claims`: added to the usual ones;
        None removes one."""
        now = int(time.time())
        usual = {"iss": self.url, "aud": "rhetor", "sub": "anna", "iat": now, "exp": now + 300}
        kept = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        head = {"alg": alg, "kid": kid, "typ": "JWT", **(header or {})}
        head = {name: value for name, value in head.items() if value is not None}
        content = f"{b64(json.dumps(head))}.{b64(json.dumps(kept))}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # deprecated names are used on purpose
            model = jws.JWSRegistry(algorithms=[alg]).get_alg(alg)
        return f"{content}.{b64(model.sign(content.encode(), key or self.keys[kid]))}"

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if request.path in self.answers:
            return self.answers.pop(request.path)
        if request.path == "/.well-known/openid-configuration":
            return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})
        assert request.path == "/keys"
        return web.json_response({"keys": self.published})


@cache  # making one takes a while
def rsa_key(bits: int = 2048) -> RSAKey:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # tests use a weak one on purpose
        return RSAKey.generate_key(bits)


@asynccontextmanager
async def issuing() -> AsyncIterator[Oidc]:
    """Run an issuer with a key of each type."""
    oidc = Oidc()
    oidc.publish("rsa", rsa_key())
    oidc.publish("ec", ECKey.generate_key("P-256"), alg="ES256")
    oidc.publish("okp", OKPKey.generate_key("Ed25519"))
    app = web.Application()
    app.router.add_get("/{path:.*}", oidc.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    try:
        await site.start()
        assert site._server is not None
        (socket,) = site._server.sockets  # type: ignore[attr-defined]
        oidc.url = f"http://127.0.0.1:{socket.getsockname()[1]}"
        yield oidc
    finally:
        await runner.cleanup()
