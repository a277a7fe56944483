"""What a browser shows that is not logged in: how to log in, and why the last attempt failed. The pages have
no scripts.

They never show the name of the console: whoever can open a port of this machine could learn it, serve that
name on another port, and would then get the console's cookies.
"""

from __future__ import annotations

import base64
import hashlib

from starlette.responses import Response
from starlette.types import Scope

from rhetor.errors import Forbidden, LoginExpired, Misdirected, RhetorError, TooManyAttempts, Unauthenticated

from . import vendor

# the errors that these pages explain
EXPLAINED = (Unauthenticated, LoginExpired, Forbidden, Misdirected, TooManyAttempts)
LOGIN = "/login"
STYLE = (
    ":root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;margin:0 auto;padding:2rem 1rem;"
    "max-width:34rem}code{font-size:1.05em;white-space:nowrap}label{display:block}"
    "input,button{font:inherit;padding:.5rem;box-sizing:border-box}input{width:100%;text-transform:uppercase}"
    "button{margin-top:.75rem}[role=alert]{border-inline-start:.25rem solid;padding-inline-start:.75rem}"
)
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_FORM = (
    f'<form action="{LOGIN}"><label for="code">One-time code</label><input id="code" name="code" required '
    'maxlength="40" autocomplete="one-time-code" autocapitalize="characters" spellcheck="false">'
    "<button>Log in</button></form>"
)
_HOW = (
    "<p>On the machine of the hub, run <code>aish console</code> (or <code>rhetor console</code>). It opens "
    "the console in the browser, logged in.</p>"
)
_OTHER = (
    "<p>To log in another device, run <code>aish console --phone</code> there and scan the QR code, or type "
    "its one-time code here:</p>"
)
_FROM_ELSEWHERE = (
    '<p>A page of another site has led here, so this browser has not sent its login. <a href="">Open the '
    "console</a></p>"
)


def is_for(scope: Scope) -> bool:
    """Return whether a browser wants to show the response to a request as a page."""
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or vendor.is_compatible(scope):
        return False
    return "text/html" in _header(scope, b"accept")


def explains(error: RhetorError, scope: Scope) -> bool:
    """Return whether a browser gets a page instead of this error."""
    return isinstance(error, EXPLAINED) and is_for(scope)


def about(error: RhetorError, scope: Scope) -> str:
    """Return the page about an error."""
    found = "" if _is_first_visit(error, scope) else f'<p role="alert">{_escaped(_sentence(error))}</p>'
    if _has_come_from_elsewhere(scope) and scope["path"] != LOGIN:
        found += _FROM_ELSEWHERE
    return _page("Log in to rhetor", found + _HOW + (_OTHER + _FORM if _is_console(scope) else ""))


def login_form(scope: Scope) -> Response:
    """Return the page on which a person types a one-time code."""
    return page("Log in to rhetor", _HOW + (_OTHER + _FORM if _is_console(scope) else ""))


def confirmation(subject: str, code: str) -> Response:
    """Return the page that asks before it logs in a browser, because another site has led here."""
    text = (
        f"<p>This logs in this browser as <strong>{_escaped(subject)}</strong>. Continue only if you have "
        "requested the link yourself.</p>"
        f'<form action="{LOGIN}"><input type="hidden" name="code" value="{_escaped(code)}">'
        "<button>Log in</button></form>"
    )
    return page("Log in to rhetor?", text)


def must_confirm(scope: Scope) -> bool:
    """Return whether a link was opened by a page of another site, or is only being loaded in advance."""
    purposes = _header(scope, b"sec-purpose") + _header(scope, b"purpose")
    return "pre" in purposes or _has_come_from_elsewhere(scope)


def page(title: str, body: str) -> Response:
    headers = {"cache-control": "no-store", "content-security-policy": POLICY}
    return Response(_page(title, body), headers=headers, media_type="text/html")


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>"
    )


def _is_first_visit(error: RhetorError, scope: Scope) -> bool:
    return type(error) is Unauthenticated and scope["path"] != LOGIN


def _has_come_from_elsewhere(scope: Scope) -> bool:
    return _header(scope, b"sec-fetch-site") in ("cross-site", "same-site")


def _is_console(scope: Scope) -> bool:
    return bool(scope["state"].get("is_console"))


def _header(scope: Scope, wanted: bytes) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), "")


def _sentence(error: RhetorError) -> str:
    text = f"{error.detail[:1].upper()}{error.detail[1:]}"
    return text if text.endswith(".") else f"{text}."


def _escaped(text: str) -> str:
    for char, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        text = text.replace(char, name)
    return text
