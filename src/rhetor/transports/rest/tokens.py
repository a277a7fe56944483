"""Tokens: `/api/auth/token`, `refresh` and `revoke`, the public keys, and what the owner issues."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from rhetor.auth import signed
from rhetor.auth.credentials import Credential
from rhetor.domain.identity import Grant
from rhetor.domain.principal import Principal, agent_subject
from rhetor.domain.timestamps import timestamp
from rhetor.domain.token_commands import RevokeToken, RotateSigningKey
from rhetor.errors import Forbidden, InvalidGrant, Unauthenticated, Unprocessable
from rhetor.hub.identity import refresh as refreshing
from rhetor.hub.identity.grants import Issued, revoke_grant
from rhetor.hub.identity.signing_keys import Rotated
from rhetor.transports.server.call import Call, json_response
from rhetor.transports.server.counters import REST
from rhetor.transports.server.gate import Gate, failed
from rhetor.transports.server.node import written

from .bodies import NamedTokenBody, RefreshBody, RevokeBody, TokenBody

SECRET = {"cache-control": "no-store"}
KEYS = {"cache-control": "public, max-age=60"}


async def token(call: Call, body: TokenBody) -> Response:
    """Issue an access token with a refresh token. The scopes are at most those of the caller; another
    subject, or a life of more than 10 minutes, needs the scope admin."""
    issued: Issued = await call.execute(body.command())
    credential: Credential | None = call.scope["state"]["credential"]
    if credential is not None and (fault := credential.fault()) is not None:  # it ended during the request
        await revoke_grant(call.hub.state, issued.grant)
        raise fault
    return await _tokens(call, issued)


async def refresh(call: Call, body: RefreshBody) -> Response:
    """Exchange a refresh token for new tokens. It can be used once; if it is used again, all tokens that come
    from the same login are revoked."""
    await _require_person(call)
    try:
        issued = await call.node.refreshes.refresh(call.hub.state, body.refresh_token)
    except InvalidGrant as error:
        raise failed(call.node.attempts, call.scope, error) from error
    await call.hub.state.audit.note(
        _holder(call, issued.grant), "token.refresh", issued.grant.label, api=REST
    )
    return await _tokens(call, issued)


async def revoke(call: Call, body: RevokeBody) -> Response:
    """Revoke a token, and all that come from the same login (RFC 7009). Whoever has a token may revoke it. A
    caller with valid credentials gets 204 for an invalid token, too."""
    await _require_person(call)
    grant = await _grant_of(call, body.token)
    if grant is not None:
        caller: Principal | None = call.scope["state"]["principal"]
        who = caller or _holder(call, grant)
        async with call.hub.state.audit.action(who, "token.revoke", grant.label, api=REST):
            await revoke_grant(call.hub.state, grant)
    elif call.scope["state"]["principal"] is None:
        error = Unauthenticated("invalid token; send a valid one as `token`")
        raise failed(call.node.attempts, call.scope, error)
    elif not body.token:
        raise Unprocessable("body.token: missing", error="invalid_request")
    elif call.node.verifier.is_file(body.token):
        raise Unprocessable(
            "the hub's own token is replaced by: rhetor token --rotate", error="invalid_request"
        )
    return Response(status_code=204)


async def public_keys(call: Call) -> Response:
    """Return the keys that verify this hub's access tokens (JWK Set, RFC 7517)."""
    await call.node.access_tokens.ready()
    return json_response({"keys": call.node.access_tokens.public_keys()}, KEYS)


async def issue(call: Call, body: NamedTokenBody) -> Response:
    """Issue a token with a name, by which it can be revoked."""
    issued: Issued = await call.execute(body.command())
    await call.node.access_tokens.ready()
    made = call.node.access_tokens.issue(issued.grant, issued.grant.seconds)
    return json_response({**_shape(issued.grant), "token": made}, SECRET)


async def list_tokens(call: Call) -> dict[str, Any]:
    """List the tokens that are valid now, oldest first."""
    now, known = call.hub.state.ids.now(), call.hub.state.identities
    grants = [each for each in known.grants.values() if each.expires > now and known.holds(each.id)]
    return {"tokens": [_shape(grant) for grant in grants]}


async def revoke_named(call: Call, name: str) -> dict[str, str]:
    """Revoke a token by its name or id. Its connections end within 5 seconds."""
    await call.execute(RevokeToken(name))
    return {"name": name, "status": "revoked"}


async def rotate(call: Call) -> dict[str, Any]:
    """Sign new tokens with a new key. The old one verifies its tokens for 10.5 minutes more."""
    rotated: Rotated = await call.execute(RotateSigningKey())
    ended = [grant.label for grant in rotated.ended]
    return {"kid": rotated.kid, "old_ends_at": timestamp(rotated.ends), "ended": ended}


async def _tokens(call: Call, issued: Issued) -> Response:
    grant = issued.grant
    seconds = min(grant.seconds, max(1, (grant.expires - call.hub.state.ids.now()) // 1000))
    await call.node.access_tokens.ready()
    shown = {
        "access_token": call.node.access_tokens.issue(grant, seconds),
        "token_type": "Bearer",
        "expires_in": seconds,
        "refresh_token": issued.refresh_token,
        "scope": " ".join(grant.scopes),
    }
    return json_response(shown, SECRET)


async def _grant_of(call: Call, text: str) -> Grant | None:
    if signed.is_signed(text):
        await call.node.access_tokens.ready()
        return call.node.access_tokens.grant_of(text)
    return await refreshing.grant_of(call.hub.state, text)


def _holder(call: Call, grant: Grant) -> Principal:
    """Return who calls a public route with a token of the grant, for the audit."""
    return Principal(grant.subject, address=written(call.scope.get("client")), credential="token in the body")


async def _require_person(call: Call) -> None:
    """Reject programs of peers, also on a route that needs no credentials."""
    state = call.scope["state"]
    gate: Gate = state["gate"]
    if state["principal"] is not None and state["principal"].is_agent:
        raise Forbidden.to_agents(state["principal"].subject)
    if (agent := await gate.agent_of(call.scope)) is not None:
        raise Forbidden.to_agents(agent_subject(agent))


def _shape(grant: Grant) -> dict[str, Any]:
    return {
        "name": grant.label,
        "subject": grant.subject,
        "scopes": list(grant.scopes),
        "issued_at": timestamp(grant.at),
        "expires_at": timestamp(grant.expires),
        "renewable": grant.kid == "",
    }
