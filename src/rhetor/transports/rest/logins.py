"""Logins of browsers: one-time codes, what a browser does with one, and the logins that are valid now."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response

from rhetor.auth.addresses import Addresses, is_loopback
from rhetor.auth.credentials import ByCookie, is_granted
from rhetor.auth.one_time_codes import CODE_SECONDS, MOST_OF_SUBJECT, Requested, new_code, normal, written
from rhetor.auth.tcp_clients import is_of_other_user
from rhetor.codec.qr_code import modules_of
from rhetor.codec.typed_json import unprocessable
from rhetor.domain.identity import Login, LoginCode, digest_of
from rhetor.domain.principal import Principal, agent_subject
from rhetor.domain.timestamps import timestamp
from rhetor.errors import Forbidden, Misdirected, NotFound, RhetorError, Unprocessable
from rhetor.hub.identity import login_codes, logins
from rhetor.transports.server import login_page
from rhetor.transports.server.call import Call
from rhetor.transports.server.counters import REST
from rhetor.transports.server.gate import Gate, wrong
from rhetor.transports.server.node import written as written_address

from .bodies import NETWORK, CodeBody, LoginQuery
from .network_console import name_for_network

CA_FILE, CA_TYPE = "ca.crt", "application/x-x509-ca-cert"
INVALID_CODE = "the code is wrong, was used or has expired; request a new one"


async def issue_code(call: Call, body: CodeBody) -> dict[str, Any]:
    """Create a link that logs in a browser, once, within a minute. The browser then has the caller's subject
    and scopes. A link for another device comes with its QR code."""
    addresses, is_other = _addresses(call), body.target == NETWORK
    if body.host is not None and not is_other:
        raise unprocessable("body.host", f"only allowed with `for: {NETWORK}`")
    if is_other:
        name = name_for_network(addresses, call.node.certificate, body.host)
    else:
        name = _own_console(call, addresses)
    code = await _issued(call, _requested(call, by_network=name in addresses.network_names))
    url = f"{addresses.console_url(name)}{login_page.LOGIN}?code={code}"
    return {
        "code": written(code),
        "url": url,
        "expires_in": CODE_SECONDS,
        "qr": await asyncio.to_thread(modules_of, url) if is_other else None,
        "ca": _authority(call, addresses.console_url(name)) if is_other else None,
    }


async def authority(call: Call) -> Response:
    """Return the certificate of the hub's own CA, which a device installs once. Every TLS handshake shows it
    anyway."""
    certificate = call.node.certificate
    if certificate is None or certificate.authority is None:
        raise NotFound("certificate of a CA", CA_FILE)
    return Response(certificate.authority.pem, media_type=CA_TYPE)


async def login(call: Call, query: LoginQuery) -> Response:
    """Exchange a code for a cookie that belongs to this host name. A browser that a page of another site has
    led here is asked first."""
    if not query.code:
        if login_page.is_for(call.scope):
            return login_page.login_form(call.scope)
        raise unprocessable("query.code", "missing")
    await _require_own_browser(call)
    name, _ = _addresses(call).check_host(call.headers["host"])
    requested = await _found(call, query.code)
    if requested is None or requested.by_network is not (name in _addresses(call).network_names):
        raise wrong(call.node.attempts, call.scope, INVALID_CODE)
    if login_page.must_confirm(call.scope):
        return login_page.confirmation(requested.subject, query.code)
    if not await _use(call, query.code):
        raise wrong(call.node.attempts, call.scope, INVALID_CODE)
    return await _logged_in(call, requested, name)


async def _issued(call: Call, requested: Requested) -> str:
    """Return a new code. If there are several nodes, each of them accepts it, unless only this one knows when
    it must end."""
    state = call.hub.state
    if not state.nodes.own or not requested.parent:
        return call.node.logins.codes.issue(requested)
    code, expires = new_code(), state.ids.now() + round(CODE_SECONDS * 1000)
    kept = LoginCode(
        requested.subject,
        tuple(sorted(requested.scopes)),
        expires,
        requested.credential,
        requested.parent,
        requested.by,
        requested.until,
        requested.by_network,
    )
    await login_codes.keep(state, digest_of(code), kept, MOST_OF_SUBJECT)
    return code


async def _found(call: Call, text: str) -> Requested | None:
    """Return what a code gives; None if it is not valid."""
    state, found = call.hub.state, call.node.logins.find_code(text)
    if found is not None or not state.nodes.own:
        return found
    kept = await login_codes.find(state, digest_of(normal(text)))
    if kept is None:
        return None
    given = kept.subject, frozenset(kept.scopes), kept.credential, kept.parent
    return Requested(*given, kept.by, kept.until, kept.by_network)


async def _use(call: Call, text: str) -> bool:
    """Make a code invalid. Return False if somebody else has used it."""
    if call.node.logins.codes.use(text) is not None or not call.hub.state.nodes.own:
        return True
    return await login_codes.use(call.hub.state, digest_of(normal(text)))


async def _logged_in(call: Call, requested: Requested, host: str) -> Response:
    address = written_address(call.scope["client"])
    cookie, login = call.node.logins.begin(requested, host, address, call.headers.get("user-agent", ""))
    browser = Principal(login.subject, address=address, credential="code")
    await call.hub.state.audit.note(browser, "login", login.id, api=REST)  # before the cookie is sent
    await logins.log_in(call.hub.state, login)
    call.node.logins.keep(login, requested.is_granted)
    if (before := _own_login(call)) is not None:  # the cookie replaces that one
        await logins.log_out(call.hub.state, before)
    seconds = round((login.expires - login.at) / 1000)
    return _with_cookie(call, Response(status_code=303, headers={"location": "/"}), cookie, seconds)


async def logout(call: Call) -> Response:
    """End the login of the browser that sends the request, and remove its cookie and what it has stored for
    the console, such as typed messages."""
    if (login := _own_login(call)) is None:
        raise Unprocessable("only a browser can log out; to revoke a token, use POST /api/auth/revoke")
    await logins.log_out(call.hub.state, login)
    gone = Response(status_code=204, headers={"clear-site-data": '"storage"'})
    return _with_cookie(call, gone, "", 0)


async def list_logins(call: Call) -> dict[str, Any]:
    """List the valid logins of the caller, or of all callers if it has the scope admin, the oldest first."""
    current = _own_login(call)
    valid = filter(call.node.logins.is_valid, logins.logins_of(call.hub.state, call.who))
    return {"logins": [_shape(call, login, current) for login in valid]}


async def end_login(call: Call, id: str) -> dict[str, str]:
    """End a login, and those whose codes its page has requested. Their connections end within 5 seconds."""
    await logins.end(call.hub.state, call.who, id)
    return {"id": id, "status": "ended"}


async def end_other_logins(call: Call) -> dict[str, int]:
    """End all logins of the caller's subject, except the one that sends the request."""
    ended = await logins.end_others(call.hub.state, call.who, _own_login(call))
    call.acting.detail = f"{ended} ended"
    return {"ended": ended}


def _authority(call: Call, url: str) -> dict[str, str] | None:
    """Return where a device gets the hub's CA, if it has one of its own, and how the device recognizes it."""
    found = call.node.certificate.authority if call.node.certificate else None
    return {"url": f"{url}/{CA_FILE}", "sha256": found.fingerprint} if found else None


def _requested(call: Call, *, by_network: bool) -> Requested:
    """Return what the caller's code gives: what the caller itself has, and no longer than it has it."""
    who, own = call.who, _own_login(call)
    return Requested(
        who.subject,
        who.scopes,
        who.credential,
        logins.parent_of(call.hub.state, who),
        own.id if own else "",
        own.expires if own else None,
        by_network,
        is_granted(call.scope["state"]["credential"]),
    )


def _own_console(call: Call, addresses: Addresses) -> str:
    """Return the name at which the caller's browser can open the console: the one that the request names if
    that is possible."""
    host = call.headers.get("host", "")
    try:
        authority = addresses.check_host(host)
    except RhetorError:  # on the Unix socket
        return addresses.console[0]
    return authority[0] if addresses.is_console(authority) else addresses.console[0]


async def _require_own_browser(call: Call) -> None:
    """Check that a browser may log in at this host name, and that no program of a peer and no other user of
    this machine uses the code, which may have been visible in the list of processes.

    Raises:
        Misdirected: this is not a name of the console, or one that only this machine can open.
        Forbidden: a person of this hub must do this.
    """
    state, client, server = call.scope["state"], call.scope["client"], call.scope["server"]
    if not state.get("is_console") or (_is_local_name(call) and not is_loopback(client[0])):
        raise Misdirected("log in at the host name in the link")
    gate: Gate = state["gate"]
    if (agent := await gate.agent_of(call.scope)) is not None:
        raise Forbidden.to_agents(agent_subject(agent))
    if is_of_other_user(client, server):
        raise Forbidden("only the user who runs the hub can log in on this machine")


def _is_local_name(call: Call) -> bool:
    return is_loopback(_addresses(call).check_host(call.headers["host"])[0])


def _own_login(call: Call) -> Login | None:
    """Return the login with which the request was sent; None if it has another credential."""
    credential = call.scope["state"]["credential"]
    return credential.login if isinstance(credential, ByCookie) else None


def _with_cookie(call: Call, response: Response, cookie: str, seconds: int) -> Response:
    addresses = _addresses(call)
    response.set_cookie(
        addresses.cookie,
        cookie,
        max_age=seconds,
        secure=addresses.tls,
        httponly=True,
        samesite="strict",
        path="/",
    )
    return response


def _shape(call: Call, login: Login, current: Login | None) -> dict[str, Any]:
    used = call.node.logins.used_at(login)
    return {
        "id": login.id,
        "subject": login.subject,
        "scopes": list(login.scopes),
        "credential": login.credential,
        "host": login.host,
        "address": login.address,
        "user_agent": login.user_agent,
        "logged_in_at": timestamp(login.at),
        "expires_at": timestamp(login.expires),
        "used_at": timestamp(used) if used is not None else None,
        "connections": call.node.connections.count_of(login),
        "current": login == current,
    }


def _addresses(call: Call) -> Addresses:
    assert call.node.addresses is not None
    return call.node.addresses
