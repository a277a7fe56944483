"""Tokens of a team's own OIDC issuer."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from joserfc.jwk import ECKey, OctKey, OKPKey

from rhetor.auth.issuer_keys import FRESH_SECONDS, MOST_KEYS, RETRY_SECONDS, STALE_SECONDS
from tests.forged import b64
from tests.issued import bearer, opens
from tests.oidc import Oidc, issuing, rsa_key
from tests.rhetor.transports.open_clients import open_client
from tests.served import Answer, Served, served

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def accepting(folder: Path, **entry: Any) -> AsyncIterator[tuple[Served, Oidc]]:
    """Run a hub that accepts the tokens of an issuer."""
    async with issuing() as oidc, served(folder) as home:
        assert home.node.issuers is not None
        home.node.issuers.configure([oidc.entry(**entry)])
        home.node.attempts.per_minute = 1_000_000
        yield home, oidc


async def ask(home: Served, token: str) -> Answer:
    return await home.ask_tcp("GET", "/api/v2/ai", bearer(token))


def later(home: Served, seconds: float) -> None:
    """Let so much time pass for the issuer's keys and tokens."""
    issuers = home.node.issuers
    assert issuers is not None
    now = issuers._elapsed()
    issuers._elapsed = lambda: now + seconds
    for _, keys in issuers._entries.values():
        keys._elapsed = issuers._elapsed


async def test_its_tokens_open_the_hub_with_the_scopes_of_its_entry(tmp_path: Path) -> None:
    async with accepting(tmp_path) as (home, oidc):
        for alg, kid in (("RS256", "rsa"), ("ES256", "ec"), ("Ed25519", "okp"), ("EdDSA", "okp")):
            assert (alg, (await ask(home, oidc.token(alg, kid))).status) == (alg, 200)
        anna = bearer(oidc.token("ES256", "ec", aud=["other", "rhetor"], header={"typ": "at+jwt"}))
        body = {"specialist_id": "apollo"}
        session = (await home.ask_tcp("POST", "/api/v2/sessions", anna, json=body)).json["id"]
        row = await home.hub.state.store.get("session", session)
        assert row is not None and row.owner == "team:anna"
        assert (await home.ask("GET", f"/api/v2/sessions/{session}")).status == 404
        narrow = bearer(oidc.token("ES256", "ec", scope="openid read admin"))
        assert (await home.ask_tcp("GET", f"/api/v2/sessions/{session}", narrow)).status == 200
        for headers, scope in ((narrow, "send"), (anna, "admin")):
            path = "/api/v2/sessions" if scope == "send" else "/api/projects"
            answer = await home.ask_tcp("POST", path, headers, json={**body, "name": "p", "path": "/"})
            assert (answer.status, answer.json.get("scope")) == (403, scope)
        assert oidc.asked == ["/.well-known/openid-configuration", "/keys"]


@pytest.mark.long
async def test_forged_tokens_of_an_issuer_are_rejected(tmp_path: Path) -> None:
    async with accepting(tmp_path) as (home, oidc):
        own, weak = ECKey.generate_key("P-256"), rsa_key(1024)
        shared = OctKey.generate_key(256)
        oidc.publish("weak", weak)
        oidc.publish("enc", ECKey.generate_key("P-256"), use="enc")
        oidc.publish("other", ECKey.generate_key("P-256"), alg="ES384")
        oidc.published.append({**shared.as_dict(), "kid": "oct", "alg": "HS256"})
        pem = rsa_key().as_pem(private=False)
        jwk = own.as_dict(private=False)
        now = int(time.time())
        forged = {
            "alg none": _unsigned(oidc.token("ES256", "ec", header={"alg": "none"}, key=own)),
            "HS256 with the public key": _hs256(oidc.token("RS256", "rsa", header={"alg": "HS256"}), pem),
            "HS256 with a published secret": oidc.token("HS256", "oct", key=shared),
            "another algorithm of the key": oidc.token("PS256", "rsa"),
            "another key": oidc.token("ES256", "ec", key=own),
            "embedded jwk": oidc.token("ES256", "ec", key=own, header={"jwk": jwk}),
            "embedded jwk of the right key": oidc.token(
                "ES256", "ec", header={"jwk": oidc.keys["ec"].as_dict(private=False)}
            ),
            "jku": oidc.token("ES256", "ec", key=own, header={"jku": f"{oidc.url}/own"}),
            "x5u": oidc.token("ES256", "ec", key=own, header={"x5u": f"{oidc.url}/own"}),
            "x5c": oidc.token("ES256", "ec", key=own, header={"x5c": ["AA"]}),
            "unknown kid": oidc.token("ES256", "unknown", key=own),
            "kid of a path": oidc.token("ES256", "../../keys", key=own),
            "no kid, several keys": oidc.token("ES256", "ec", header={"kid": None}),
            "weak key": oidc.token("RS256", "weak"),
            "key for encryption": oidc.token("ES256", "enc"),
            "key for an algorithm of another curve": oidc.token("ES256", "other"),
            "typ of another kind": oidc.token("ES256", "ec", header={"typ": "logout+jwt"}),
            "another issuer": oidc.token("ES256", "ec", iss="https://login.example.org"),
            "issuer with a slash": oidc.token("ES256", "ec", iss=f"{oidc.url}/"),
            "no issuer": oidc.token("ES256", "ec", iss=None),
            "another audience": oidc.token("ES256", "ec", aud="other"),
            "no audience": oidc.token("ES256", "ec", aud=None),
            "no subject": oidc.token("ES256", "ec", sub=None),
            "subject with a line end": oidc.token("ES256", "ec", sub="anna\nroot"),
            "long subject": oidc.token("ES256", "ec", sub="a" * 256),
            "subject as a number": oidc.token("ES256", "ec", sub=1),
            "no end": oidc.token("ES256", "ec", exp=None),
            "in the past": oidc.token("ES256", "ec", exp=now - 31),
            "huge": oidc.token("ES256", "ec", exp=10**400),
            "true": oidc.token("ES256", "ec", exp=True),
            "not yet valid": oidc.token("ES256", "ec", nbf=now + 3600),
            "issued in the future": oidc.token("ES256", "ec", iat=now + 3600),
        }
        opened = [wrong for wrong, token in forged.items() if (await ask(home, token)).status != 401]
        assert opened == []
        assert "/own" not in oidc.asked
        assert (await ask(home, oidc.token("ES256", "ec"))).status == 200


def _hs256(token: str, secret: bytes) -> str:
    content = token.rpartition(".")[0]
    return f"{content}.{b64(hmac.new(secret, content.encode(), hashlib.sha256).digest())}"


def _unsigned(token: str) -> str:
    return token.rpartition(".")[0] + "."


@pytest.mark.long
async def test_a_new_key_of_the_issuer_is_fetched_and_an_old_one_ends_its_connections(tmp_path: Path) -> None:
    async with accepting(tmp_path) as (home, oidc):
        old = oidc.token("ES256", "ec")
        async with open_client(home, "ws", bearer(old)) as socket:
            oidc.withdraw("ec")
            oidc.publish("new", OKPKey.generate_key("Ed25519"))
            new = oidc.token("Ed25519", "new")
            assert (await ask(home, new)).status == 401  # the keys have just been fetched
            later(home, RETRY_SECONDS)
            assert (await ask(home, new)).status == 200
            assert await socket.ended() == (4500, "unauthenticated")
        assert not await opens(home, old)


async def test_a_withdrawn_key_ends_a_known_token_although_no_other_token_is_sent(tmp_path: Path) -> None:
    async with accepting(tmp_path) as (home, oidc):
        token = oidc.token("ES256", "ec", exp=int(time.time()) + 9999)
        assert (await ask(home, token)).status == 200
        oidc.withdraw("ec")
        assert (await ask(home, token)).status == 200  # the keys are not fetched for each request
        later(home, FRESH_SECONDS + 1)
        assert (await ask(home, token)).status == 401


async def test_a_known_token_is_accepted_while_the_keys_are_fetched_again(tmp_path: Path) -> None:
    async with accepting(tmp_path) as (home, oidc):
        token = oidc.token("ES256", "ec")
        assert (await ask(home, token)).status == 200
        later(home, FRESH_SECONDS + 1)
        assert home.node.issuers is not None
        ((_, keys),) = home.node.issuers._entries.values()
        async with keys._fetching, asyncio.timeout(60):  # as a request does whose answer takes long
            assert (await ask(home, token)).status == 200


@pytest.mark.long
async def test_unknown_keys_cause_few_requests_to_the_issuer(tmp_path: Path) -> None:
    async with accepting(tmp_path) as (home, oidc):
        key = ECKey.generate_key("P-256")
        tokens = [oidc.token("ES256", f"k{number}", key=key) for number in range(30)]
        answers = await asyncio.gather(*(ask(home, token) for token in tokens))
        assert {answer.status for answer in answers} == {401}
        assert oidc.asked.count("/keys") == 1
        later(home, RETRY_SECONDS)
        await asyncio.gather(*(ask(home, token) for token in tokens))
        assert oidc.asked.count("/keys") == 2


@pytest.mark.long
async def test_keys_are_kept_while_the_issuer_does_not_answer(tmp_path: Path) -> None:
    async with accepting(tmp_path) as (home, oidc):
        down = web.Response(status=500)
        oidc.answers["/keys"] = down
        token = oidc.token("ES256", "ec")
        answer = await ask(home, token)
        assert (answer.status, answer.json["code"]) == (503, "issuer_unavailable")
        assert answer.headers["retry-after"] == "1"
        later(home, RETRY_SECONDS)
        assert (await ask(home, token)).status == 200
        later(home, FRESH_SECONDS)
        oidc.answers["/keys"] = web.Response(status=500)
        assert (await ask(home, oidc.token("ES256", "ec", exp=int(time.time()) + 9999))).status == 200
        later(home, STALE_SECONDS)
        oidc.answers["/keys"] = web.Response(status=500)
        assert (await ask(home, oidc.token("ES256", "ec", jti="another"))).status == 503


@pytest.mark.long
@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/.well-known/openid-configuration", {"issuer": "https://other", "jwks_uri": "https://other/keys"}),
        ("/.well-known/openid-configuration", {"issuer": "URL", "jwks_uri": "http://169.254.169.254/keys"}),
        ("/.well-known/openid-configuration", {"issuer": "URL", "jwks_uri": "file:///etc/passwd"}),
        ("/.well-known/openid-configuration", {"issuer": "URL", "jwks_uri": "http://other.example/keys"}),
        ("/keys", {"keys": "none"}),
        ("/keys", []),
        ("/keys", {"keys": [], "more": "x" * (300 << 10)}),
        ("/keys", 302),
    ],
)
async def test_an_unusable_answer_of_the_issuer_is_rejected(tmp_path: Path, path: str, answer: Any) -> None:
    async with accepting(tmp_path) as (home, oidc):
        if answer == 302:
            oidc.answers[path] = web.Response(status=302, headers={"location": f"{oidc.url}/elsewhere"})
        else:
            text = web.json_response(answer).text or ""
            oidc.answers[path] = web.json_response(text=text.replace("URL", oidc.url))
        assert (await ask(home, oidc.token("ES256", "ec"))).status == 503
        assert "/elsewhere" not in oidc.asked


@pytest.mark.long
async def test_an_issuer_in_a_private_network_needs_the_setting(tmp_path: Path) -> None:
    async with accepting(tmp_path, allow_private=False) as (home, oidc):
        assert (await ask(home, oidc.token("ES256", "ec"))).status == 503
        assert oidc.asked == []


@pytest.mark.long
async def test_the_keys_may_be_at_a_configured_url(tmp_path: Path) -> None:
    async with accepting(tmp_path) as (home, oidc):
        assert home.node.issuers is not None
        home.node.issuers.configure([oidc.entry(jwks_url=f"{oidc.url}/keys")])
        assert await opens(home, oidc.token("ES256", "ec"))
        assert oidc.asked == ["/keys"]


@pytest.mark.long
async def test_a_removed_issuer_ends_its_connections(tmp_path: Path) -> None:
    async with accepting(tmp_path) as (home, oidc):
        token = oidc.token("ES256", "ec")
        async with open_client(home, "ws", bearer(token)) as socket:
            assert home.node.issuers is not None
            home.node.issuers.configure([oidc.entry(scopes=("read",))])
            assert await socket.ended() == (4500, "unauthenticated")
        assert await opens(home, token)
        home.node.issuers.configure([])
        assert not await opens(home, token)


@pytest.mark.long
async def test_the_hub_issues_no_tokens_to_callers_of_an_issuer(tmp_path: Path) -> None:
    async with accepting(tmp_path) as (home, oidc):
        anna = bearer(oidc.token("ES256", "ec"))
        answer = await home.ask_tcp("POST", "/api/auth/token", anna, json={})
        assert (answer.status, "your issuer" in answer.json["detail"]) == (403, True)


@pytest.mark.long
async def test_many_keys_are_not_all_used(tmp_path: Path) -> None:
    async with accepting(tmp_path) as (home, oidc):
        (ec,) = (jwk for jwk in oidc.published if jwk["kid"] == "ec")
        names = [hashlib.sha256(bytes([number])).hexdigest() for number in range(MOST_KEYS)]
        oidc.published = [{**ec, "kid": name} for name in [*names, "last"]]
        oidc.keys |= dict.fromkeys(["last", names[0]], oidc.keys["ec"])
        assert await opens(home, oidc.token("ES256", names[0]))
        assert not await opens(home, oidc.token("ES256", "last"))


@pytest.mark.long
async def test_an_expired_token_of_an_issuer_ends_its_connections(tmp_path: Path) -> None:
    async with (
        accepting(tmp_path) as (home, oidc),
        open_client(home, "ws", bearer(oidc.token("ES256", "ec"))) as socket,
    ):
        later(home, 331.0)
        assert await socket.ended() == (4001, "login_expired")
