"""Masks known secrets in text and bytes, even if a secret arrives in pieces."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import unquote

MASK = "[masked]"
LEAST = 8  # characters; a shorter value could be a part of ordinary text
LEAST_BEGUN = 4  # the beginning of a secret, with stars after it
KEY_PREFIX = "rk_"  # of the keys of programs
STAR = "*"  # a host replaces a secret with as many, because offsets in its spool must stay valid
_NAMES = re.compile(
    r"(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSPHRASE|PASSWD|CREDENTIALS?|AUTHORIZATION)(_|$)",
    re.IGNORECASE,
)
# the name of an argument, and what stands between it and its value
_ARGUMENT = re.compile(r"-{0,2}(?P<name>[A-Za-z][\w-]{0,99})(?P<sign>=|: ?(?:Bearer )?|(?!.))", re.DOTALL)
_QUERY = re.compile(r"[?&](?P<name>[^=&#]{1,100})=(?P<value>[^&#]+)")
_WORD = re.compile(r"[a-z]{1,19}|[A-Z]{1,19}|\S*\s[\S\s]*|[/~].*")


def secret_values(environment: Mapping[str, str]) -> list[str]:
    """Return the values of the variables whose names say that they are secret, such as OPENAI_API_KEY.

    A value that could be ordinary text, or is the path of a file, is left out.
    """
    return [value for name, value in environment.items() if _NAMES.search(name) and is_secret(value)]


def secrets_of(environment: Mapping[str, str], argv: Sequence[str], url: str | None = None) -> list[str]:
    """Return the secrets in how a server is reached: those of `secret_values`; the arguments that are secret
    by their names (`--token VALUE`, `--token=VALUE`, `TOKEN=VALUE` and `Authorization: VALUE`); and such
    values in the query of the URL."""
    arguments = [argv[index][at:] for index, at in _secret_places(argv)]
    queried = [
        found["value"]
        for found in _QUERY.finditer(url or "")
        if _NAMES.search(found["name"].replace("-", "_"))
    ]
    return [*secret_values(environment), *filter(is_secret, (*arguments, *queried))]


def masked_arguments(words: Sequence[str], mask: str = MASK) -> list[str]:
    """Return the arguments with `mask` instead of those that `secrets_of` returns, however short."""
    shown = list(words)
    for index, at in _secret_places(words):
        shown[index] = words[index][:at] + mask
    return shown


def _secret_places(words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield where a secret value begins: the index of the word, and the position in it."""
    is_value = False
    for index, word in enumerate(words):
        if is_value:
            yield index, 0
        found = _ARGUMENT.match(word)
        is_value = False
        if found is not None and _NAMES.search(found["name"].replace("-", "_")):
            if found["sign"]:
                yield index, found.end()
            else:
                is_value = found.end() == len(word) and word.startswith("-")


def masked_url(url: str, mask: str = MASK) -> str:
    """Do the same with a URL."""

    def masked(found: re.Match[str]) -> str:
        if not _NAMES.search(found["name"].replace("-", "_")):
            return found[0]
        return found[0].removesuffix(found["value"]) + mask

    return _QUERY.sub(masked, url)


def masked_password(url: str, mask: str = MASK) -> str:
    """Return a URL without the password in it."""
    scheme, separator, rest = url.partition("://")
    who, at, where = rest.rpartition("@")
    user, colon, _ = who.partition(":")
    return f"{scheme}{separator}{user}{colon}{mask}{at}{where}" if at and colon else url


def passwords_of(url: str) -> list[str]:
    """Return the passwords in a URL, as they are written and as they are meant."""
    queried = (found["value"] for found in _QUERY.finditer(url) if _NAMES.search(found["name"]))
    given = (url.partition("://")[2].rpartition("@")[0].partition(":")[2], *queried)
    return sorted({each for password in given if password for each in (password, unquote(password))})


def shown_url(url: str) -> str:
    """Return where the URL of a database leads to, without the user, the password and the options."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.partition('?')[0].rpartition('@')[2]}"


def is_secret(value: str) -> bool:
    """Return whether a value is long and unusual enough to be masked wherever it occurs."""
    return len(value) >= LEAST and _WORD.fullmatch(value) is None


class Secrets:
    """The secrets that this process knows."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self.texts: tuple[str, ...] = ()
        self._bytes: tuple[bytes, ...] = ()
        self.add(values)

    def __bool__(self) -> bool:
        return bool(self.texts)

    def add(self, values: Iterable[str]) -> None:
        """Add secrets. The longest is masked first, because it may contain another one."""
        self._use({*self.texts, *values})

    def remove(self, values: Iterable[str]) -> None:
        """Forget secrets that are no longer valid."""
        self._use({*self.texts} - {*values})

    def _use(self, texts: Iterable[str]) -> None:
        self.texts = tuple(sorted(texts, key=lambda text: (-len(text), text)))
        forms = dict.fromkeys(form for text in self.texts for form in _forms(text))
        self._bytes = tuple(form.encode("utf-8", "surrogatepass") for form in forms)

    def mask(self, text: str) -> str:
        for secret in self.texts:
            if secret in text:
                text = text.replace(secret, MASK)
        return text

    def mask_shown(self, text: str) -> str:
        """Do the same, also for a secret of which a host has replaced only the rest."""
        masked = MaskedText(self)
        return masked.feed(text) + masked.finish() if self.texts else text

    def mask_json(self, data: bytes) -> bytes:
        """Do the same as `mask`, for JSON in UTF-8. Strings in it may be JSON, too."""
        for secret in self._bytes:
            if secret in data:
                data = data.replace(secret, MASK.encode())
        return data


def _forms(text: str) -> list[str]:
    """Return the text as it is, in a string of JSON, and in JSON that is in a string of JSON."""
    once = _in_json(text)
    return [text, *once, *(form for each in once for form in _in_json(each))]


def _in_json(text: str) -> list[str]:
    return [json.dumps(text, ensure_ascii=only_ascii)[1:-1] for only_ascii in (True, False)]


class MaskedText:
    """Masks the secrets in a text that arrives in pieces. What may be the beginning of a secret is held back
    until the next piece."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._held = ""
        self._begun = ""  # the beginning of a secret for which the mask was returned already
        self._shown = ""  # the same if it is short, and was returned as it is

    @property
    def holds(self) -> bool:
        return bool(self._held)

    def feed(self, text: str) -> str:
        whole = self._secrets.mask(self._shown + self._held + self._without_rest(text))
        if STAR in text:
            whole = self._without_starred(whole)
        # otherwise what was shown is a part of the secret that the mask now stands for
        new = len(self._shown) if whole.startswith(self._shown) else 0
        cut = len(whole) - _beginning(whole, self._secrets.texts)
        if KEY_PREFIX.startswith(whole[cut:]):  # it gives nothing away, and many words end with its beginning
            self._shown, self._held = whole[cut:], ""
            return whole[new:]
        self._shown, self._held = whole[cut:new], whole[max(cut, new) :]
        return whole[new:cut]

    def finish(self) -> str:
        """Return what is held back."""
        held, self._held, self._shown = self._held, "", ""
        return held

    def settle(self) -> str:
        """Return what stands for the text that is held back, because nothing has followed for a while. If it
        is long enough to give a secret away, that is the mask, and the rest of the secret is removed when it
        comes. Otherwise, the mask replaces only the rest."""
        if not self._held:
            return ""
        begun, held = self._shown + self._held, self.finish()
        if len(begun) < LEAST:
            self._shown = begun
            return held
        self._begun = begun
        return MASK

    def _without_rest(self, text: str) -> str:
        """Return the text without the rest of a secret that was masked when its beginning was returned."""
        begun, self._begun = self._begun, ""
        if not begun:
            return text
        whole = begun + text
        for secret in self._secrets.texts:
            matched = _matched(whole, 0, secret)
            if matched == len(secret):
                return whole[matched:]
            if matched == len(whole):
                self._begun = whole
                return ""
        return text

    def _without_starred(self, text: str) -> str:
        """Mask the secrets of which a host has replaced the rest, after it had passed on the beginning."""
        for secret in self._secrets.texts:
            at = text.find(secret[:LEAST_BEGUN])
            while at >= 0:
                end = at + _matched(text, at, secret)
                if end - at == len(secret):
                    text = text[:at] + MASK + text[end:]
                at = text.find(secret[:LEAST_BEGUN], at + 1)
        return text


def _beginning(text: str, secrets: Iterable[str]) -> int:
    """Return how many characters at the end of the text may be the beginning of a secret."""
    longest = 0
    for secret in secrets:
        at = text.find(secret[0], max(len(text) - len(secret) + 1, 0))
        while at >= 0:
            if at + _matched(text, at, secret) == len(text):
                longest = max(longest, len(text) - at)
                break
            at = text.find(secret[0], at + 1)
    return longest


def _matched(text: str, at: int, secret: str) -> int:
    """Return how many characters of the text from `at` on are the secret, or its beginning and then stars."""
    length = 0
    while length < len(secret) and text[at + length : at + length + 1] == secret[length]:
        length += 1
    if length < LEAST_BEGUN:
        return length
    while length < len(secret) and text[at + length : at + length + 1] == STAR:
        length += 1
    return length
