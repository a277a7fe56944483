"""The recipients of notifications that the settings define, and which of their values are secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from rhetor.domain.notification import Recipient
from rhetor.domain.secrets import MASK, is_secret, masked_arguments, secrets_of
from rhetor.drivers.models.urls import Reach, check_literal
from rhetor.errors import Unprocessable

from .sections import NotifySettings, Settings
from .validation import InvalidValue

MOST = 20
_TOKEN_LENGTH = 16  # characters of a part of a webhook's path that is probably a secret


def recipients_of(settings: Settings) -> list[tuple[Recipient, NotifySettings]]:
    """Return the recipients, each with its entry. Those without a name have that of their kind.

    Raises:
        InvalidValue: there are too many, two have the same name, or the hub never calls an address.
    """
    if len(settings.notify) > MOST:
        raise InvalidValue(("notify",), f"must have at most {MOST} entries")
    found: dict[str, tuple[Recipient, NotifySettings]] = {}
    for number, entry in enumerate(settings.notify):
        name = entry.name or entry.kind
        if name.lower() in found:
            raise InvalidValue(("notify", number), f"the name {name} is used twice; set name")
        _require_reachable(number, entry)
        recipient = Recipient(name, entry.kind, frozenset(entry.on), entry.after)
        found[name.lower()] = recipient, entry
    return list(found.values())


def notify_secrets(settings: Settings, environment: Mapping[str, str]) -> list[str]:
    """Return the secrets of the entries: the values of their variables, and what is secret in their URLs and
    arguments. Whoever knows the topic of ntfy, or the path of many webhooks, can post there."""
    return [secret for entry in settings.notify for secret in _secrets(entry, environment)]


def masked_entry(entry: Mapping[str, Any], mask: str = MASK) -> dict[str, Any]:
    """Return an entry without the path of its URL and the secrets in its command."""
    shown = dict(entry)
    if url := shown.get("url"):
        parts = urlsplit(url)
        shown["url"] = f"{parts.scheme}://{parts.netloc}/{mask}"
    if command := shown.get("command"):
        shown["command"] = masked_arguments(command, mask)
    return shown


def _secrets(entry: NotifySettings, environment: Mapping[str, str]) -> Iterator[str]:
    yield from secrets_of({}, entry.command, entry.url)
    if entry.secret_env and is_secret(value := environment.get(entry.secret_env, "")):
        yield value
    if entry.url:
        least = 1 if entry.kind == "ntfy" else _TOKEN_LENGTH
        parts = re.split(r"/+", urlsplit(entry.url).path)
        yield from (part for part in parts if len(part) >= least and is_secret(part))


def _require_reachable(number: int, entry: NotifySettings) -> None:
    if entry.url is not None:
        try:
            check_literal(entry.url, Reach(loopback=True, private=entry.allow_private))
        except Unprocessable as error:
            hint = "; set allow_private: true" if error.data.get("private") else ""
            raise InvalidValue(("notify", number, "url"), f"{error.detail}{hint}") from error
