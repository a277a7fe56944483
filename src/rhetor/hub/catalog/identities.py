"""Rows of grants, refresh tokens, signing keys and logins."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from rhetor.domain.identity import GRANT, LOGIN, SIGNING_KEY, Grant, Identities, Login, SigningKey
from rhetor.store.base import Catalog, Row

REFRESH_TOKEN = "refresh_token"
RETIRED = "retired_token"
VALID, USED = "valid", "used"  # states; a used refresh token is kept, so that its reuse is noticed
MAX_ROWS = 1_000_000
T = TypeVar("T")


async def load(identities: Identities, catalog: Catalog) -> None:
    """Read all grants and logins from the catalog."""
    for _, doc in await catalog.documents(GRANT):
        grant = msgspec.json.decode(doc, type=Grant)
        identities.grants[grant.id] = grant
    for _, doc in await catalog.documents(LOGIN):
        login = msgspec.json.decode(doc, type=Login)
        identities.logins[login.digest] = login
    identities.retired.update(id for id, _ in await catalog.documents(RETIRED))


async def load_keys(identities: Identities, catalog: Catalog) -> None:
    """Read all signing keys from the catalog. Later calls do nothing."""
    if identities.has_keys:
        return
    rows = await catalog.find(SIGNING_KEY, limit=MAX_ROWS)
    if not identities.has_keys:  # another caller may have read them, and replaced one, in the meantime
        identities.keys, identities.has_keys = {row.id: key_of(row) for row in rows}, True


async def read_keys(identities: Identities, catalog: Catalog) -> None:
    """Read all signing keys again, because another node has changed them. The caller lets nobody change them
    meanwhile."""
    rows = await catalog.find(SIGNING_KEY, limit=MAX_ROWS)
    identities.keys, identities.has_keys = {row.id: key_of(row) for row in rows}, True


def mirror(identities: Identities, kind: str, id: str, row: Row | None) -> None:
    """Use a row as it is stored. None: it was dropped."""
    if kind == GRANT:
        _put(identities.grants, id, row, Grant)
    elif kind == LOGIN:
        _put(identities.logins, id, row, Login)
    elif kind == RETIRED:
        identities.retired.add(id)
    elif kind == SIGNING_KEY and identities.has_keys:
        _put(identities.keys, id, row, SigningKey)


def _put(known: dict[str, T], id: str, row: Row | None, type: type[T]) -> None:
    if row is None:
        known.pop(id, None)
    elif (stored := msgspec.json.decode(row.doc, type=type)) != known.get(id):
        known[id] = stored


def retired_row(digest: str, at: int) -> Row:
    """Return the row of a hub's token that was replaced, by its digest."""
    return Row(RETIRED, digest, USED, b"{}", at=at)


def key_of(row: Row) -> SigningKey:
    return msgspec.json.decode(row.doc, type=SigningKey)


def key_row(key: SigningKey) -> Row:
    return Row(SIGNING_KEY, key.kid, VALID, msgspec.json.encode(key), at=key.at)


def grant_row(grant: Grant) -> Row:
    return Row(
        GRANT, grant.id, VALID, msgspec.json.encode(grant), parent=grant.parent, name=grant.name, at=grant.at
    )


def refresh_row(digest: str, grant: Grant, at: int) -> Row:
    """Return the row of a new refresh token, by its SHA-256. The token itself is not stored."""
    return Row(REFRESH_TOKEN, digest, VALID, b"{}", parent=grant.id, at=at)


def login_row(login: Login) -> Row:
    return Row(LOGIN, login.digest, VALID, msgspec.json.encode(login), parent=login.parent, at=login.at)
