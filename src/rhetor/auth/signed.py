"""Signed tokens (JWS in compact form, RFC 7515), read strictly: one spelling for each content, no duplicate
members, and no algorithm or key that the token itself chooses.

joserfc is imported when a token of an issuer is read: the import takes 100 to 200 ms, and most hubs have no
issuer.
"""

from __future__ import annotations

import asyncio
import json
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from joserfc.jwk import Key
    from joserfc.jwt import JWTClaimsRegistry

MOST_CHARACTERS = 16_384
SEGMENTS = 3
LIBRARY = "joserfc.jwt"


class Unreadable(ValueError):
    """The text is not a valid signed token."""


async def load_library(name: str = LIBRARY) -> None:
    """Import a library, without stopping the event loop meanwhile. Later calls do nothing."""
    if name not in sys.modules:
        await asyncio.to_thread(import_module, name)


def is_signed(token: str) -> bool:
    """Return whether a token has the form of a signed one; nothing is verified."""
    return token.startswith("eyJ") and token.count(".") == SEGMENTS - 1 and len(token) <= MOST_CHARACTERS


def encoded(content: bytes) -> str:
    """Return base64url without padding."""
    return urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def decoded(part: str) -> bytes:
    """Return the content of a part.

    Raises:
        Unreadable: `encoded` returns another spelling for it.
    """
    try:
        content = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError as error:
        raise Unreadable("a part is not base64url") from error
    if encoded(content) != part:
        raise Unreadable("a part is not canonical base64url")
    return content


def header_of(token: str) -> Mapping[str, Any]:
    """Return the header of a token that `is_signed`. It is not verified.

    Raises:
        Unreadable: it is not one JSON object in canonical base64url.
    """
    return _header(token.partition(".")[0])


@lru_cache(maxsize=64)  # all tokens of a key have the same header
def _header(part: str) -> Mapping[str, Any]:
    return _object(decoded(part))


def unverified_claims_of(token: str) -> Mapping[str, Any]:
    """Return the claims of a token that `is_signed`, which are not verified. They name the issuer whose keys
    can verify it.

    Raises:
        Unreadable: they are not one JSON object in canonical base64url.
    """
    return _object(decoded(token.split(".")[1]))


def claims_of(token: str, key: Key, algorithm: str) -> dict[str, Any]:
    """Verify the signature of a token that `is_signed`, and return its claims. The caller has checked its
    header, and that the key is one for the algorithm, and has called `load_library`.

    Raises:
        Unreadable: the signature is invalid, or the content is not one JSON object.
    """
    content, _, signature = token.rpartition(".")
    try:
        is_valid = _verify(algorithm)(content.encode("ascii"), decoded(signature), key)
    except ValueError as error:
        raise Unreadable("the signature is not readable") from error
    if not is_valid:
        raise Unreadable("the signature is invalid")
    return _object(decoded(content.partition(".")[2]))


def check(claims: dict[str, Any], rules: JWTClaimsRegistry) -> None:
    """Check claims by rules, except that they may have expired.

    Raises:
        Unreadable: a claim is missing or has another value than it must have.
    """
    from joserfc.errors import ExpiredTokenError, JoseError

    try:
        rules.validate(claims)
    except ExpiredTokenError:
        pass  # the caller reports it, if everything else is valid
    except JoseError as error:
        raise Unreadable(str(error)) from error


@cache
def _verify(algorithm: str) -> Callable[[bytes, bytes, Key], bool]:
    from joserfc.jws import JWSRegistry

    return JWSRegistry(algorithms=[algorithm]).get_alg(algorithm).verify


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = _STRICT.decode(content.decode())
    except (ValueError, RecursionError) as error:
        raise Unreadable("not a JSON object") from error
    if not isinstance(found, dict):
        raise Unreadable("not a JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("a member occurs twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise Unreadable(f"{constant} is not JSON")


_STRICT = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_refuse)
