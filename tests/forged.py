"""Forged and malformed tokens. Each would open the hub if one check were missing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rhetor.hub.hub import Hub

Json = dict[str, Any]
Sign = Callable[[bytes], bytes]
ABSENT = object()


def b64(content: bytes | str) -> str:
    content = content.encode() if isinstance(content, str) else content
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@dataclass(frozen=True)
class Forger:
    """What an attacker may know, and the hub's own key, with which the tests sign what the hub would not.

    `token`: a valid one, which all others are made from. `refresh`: a valid refresh token. `other`: a valid
    token of another hub.
    """

    token: str
    key: Ed25519PrivateKey
    refresh: str
    other: str

    @classmethod
    def of(cls, hub: Hub, token: str, refresh: str, other: str) -> Forger:
        """Return the forger of tokens for a hub."""
        signing = hub.state.identities.signing
        assert signing is not None
        return cls(token, Ed25519PrivateKey.from_private_bytes(signing.secret), refresh, other)

    @property
    def header(self) -> Json:
        return _decoded(self.token.split(".")[0])

    @property
    def claims(self) -> Json:
        return _decoded(self.token.split(".")[1])

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def signed(self, header: Mapping[str, Any] | str, claims: Mapping[str, Any] | str, sign: Sign) -> str:
        # spelled as the hub spells it, so that only what is wrong can be the reason for a rejection
        parts = [each if isinstance(each, str) else _json(each) for each in (header, claims)]
        return self._signed_parts(b64(parts[0]), b64(parts[1]), sign)

    def _signed_parts(self, header: str, claims: str, sign: Sign | None = None) -> str:
        content = f"{header}.{claims}"
        return f"{content}.{b64((sign or self.key.sign)(content.encode()))}"

    def with_header(self, sign: Sign | None = None, **changed: Any) -> str:
        return self.signed(_changed(self.header, changed), self.claims, sign or self.key.sign)

    def with_claims(self, **changed: Any) -> str:
        return self.signed(self.header, _changed(self.claims, changed), self.key.sign)

    def all(self) -> dict[str, str]:
        """Return all forged tokens by what is wrong with them."""
        found = {
            **self._algorithms(),
            **self._own_keys(),
            **self._headers(),
            **self._claims(),
            **self._times(),
            **self._signatures(),
            **self._shapes(),
        }
        assert len(found) >= 40
        return found

    def _algorithms(self) -> dict[str, str]:
        pem = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        jwk = json.dumps({"kty": "OKP", "crv": "Ed25519", "x": b64(self.public)}).encode()
        none = {
            f"alg {name}": self.with_header(lambda _: b"", alg=name)
            for name in ("none", "None", "NONE", "nOnE", "")
        }
        secrets = {"raw": self.public, "pem": pem, "jwk": jwk, "empty": b"", "x": b64(self.public).encode()}
        hmacs = {
            f"HS256 with the public key as {name}": self.with_header(_hs256(secret), alg="HS256")
            for name, secret in secrets.items()
        }
        return {
            **none,
            **hmacs,
            "alg none, signature kept": self.with_header(alg="none"),
            "alg EdDSA": self.with_header(alg="EdDSA"),
            "alg ed25519": self.with_header(alg="ed25519"),
            "alg Ed448": self.with_header(Ed448PrivateKey.generate().sign, alg="Ed448"),
            "alg ES256": self.with_header(_es256(ec.generate_private_key(ec.SECP256R1())), alg="ES256"),
            "alg RS256": self.with_header(_rs256(), alg="RS256"),
            "alg as a list": self.with_header(alg=["Ed25519"]),
            "alg null": self.with_header(alg=None),
            "alg missing": self.with_header(alg=ABSENT),
        }

    def _own_keys(self) -> dict[str, str]:
        own = Ed25519PrivateKey.generate()
        x = b64(own.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "mine"}
        url = "http://127.0.0.1:1/keys"
        return {
            "own key": self.with_header(own.sign),
            "own key, embedded jwk": self.with_header(own.sign, jwk=jwk),
            "own key, embedded jwk, its kid": self.with_header(own.sign, jwk=jwk, kid="mine"),
            "own key, embedded jwk, no kid": self.with_header(own.sign, jwk=jwk, kid=ABSENT),
            "own key, jku": self.with_header(own.sign, jku=url),
            "own key, x5u": self.with_header(own.sign, x5u=url),
            "own key, x5c": self.with_header(own.sign, x5c=[b64(b"certificate")]),
            "hub's key, jwk": self.with_header(jwk=jwk),
            "hub's key, jku": self.with_header(jku=url),
            "hub's key, x5u": self.with_header(x5u=url),
            "hub's key, x5t": self.with_header(x5t=b64(b"thumbprint")),
        }

    def _headers(self) -> dict[str, str]:
        kids: list[Any] = ["../../../../etc/passwd", "/dev/null", "' OR 1=1 --", "kid\u0000", "", "0" * 16]
        kids += [0, None, True, [self.header["kid"]], {"kid": self.header["kid"]}, self.header["kid"].upper()]
        crits: tuple[Any, ...] = (["exp"], ["b64"], ["unknown"], [], "exp")
        twice = _json(self.header)[:-1] + ',"alg":"Ed25519"}'
        return {
            **{f"kid {kid!r}": self.with_header(kid=kid) for kid in kids if kid != self.header["kid"]},
            **{f"crit {crit!r}": self.with_header(crit=crit) for crit in crits},
            "kid missing": self.with_header(kid=ABSENT),
            "crit b64, not encoded": self.with_header(crit=["b64"], b64=False),
            "typ JWT": self.with_header(typ="JWT"),
            "typ AT+JWT": self.with_header(typ="AT+JWT"),
            "typ missing": self.with_header(typ=ABSENT),
            "typ of a nested token": self.with_header(cty="JWT"),
            "compressed": self.with_header(zip="DEF"),
            "unknown member": self.with_header(extra=1),
            "member twice in the header": self.signed(twice, self.claims, self.key.sign),
            "header is a list": self.signed("[]", self.claims, self.key.sign),
            "header is a string": self.signed('"alg"', self.claims, self.key.sign),
            "header is not JSON": self.signed("alg", self.claims, self.key.sign),
        }

    def _claims(self) -> dict[str, str]:
        missing = ("iss", "aud", "sub", "exp", "iat", "jti", "scope")
        exp = self.claims["exp"]
        twice = _json(self.claims)[:-1] + f',"exp":{exp}}}'
        moved = {**_changed(self.claims, {"iss": ABSENT}), "iss": self.claims["iss"]}
        return {
            **{f"{name} missing": self.with_claims(**{name: ABSENT}) for name in missing},
            **{f"{name} null": self.with_claims(**{name: None}) for name in missing},
            "iss of another hub": self.with_claims(iss="rhetor:0000000000000000"),
            "iss as a list": self.with_claims(iss=[self.claims["iss"]]),
            "aud of another": self.with_claims(aud="other"),
            "aud of others": self.with_claims(aud=["other", "another"]),
            "aud with another case": self.with_claims(aud="Rhetor"),
            "sub of another": self.with_claims(sub="root"),
            "sub as a number": self.with_claims(sub=1),
            "jti of no grant": self.with_claims(jti="g_0.0"),
            "jti as a number": self.with_claims(jti=1),
            "more scopes": self.with_claims(scope="admin approve read send"),
            "unknown scope": self.with_claims(scope="read root"),
            "scope of an agent": self.with_claims(scope="agent"),
            "scope as a list": self.with_claims(scope=["read"]),
            "scope empty": self.with_claims(scope=""),
            "member twice in the claims": self.signed(self.header, twice, self.key.sign),
            "members in another order": self.signed(self.header, moved, self.key.sign),
            "claims with spaces": self.signed(self.header, json.dumps(self.claims), self.key.sign),
            "claims with an escape": self.signed(
                self.header, _json(self.claims).replace("rhetor", "rheto\\u0072"), self.key.sign
            ),
            "claims not canonical": self._signed_parts(b64(_json(self.header)), _padded(self.claims)),
            "unknown claim": self.with_claims(extra=1),
            "claims are a list": self.signed(self.header, "[]", self.key.sign),
            "claims are not JSON": self.signed(self.header, "exp", self.key.sign),
            "claims are nested too deeply": self.signed(self.header, "[" * 5000, self.key.sign),
        }

    def _times(self) -> dict[str, str]:
        now = int(time.time())
        ends: dict[str, Any] = {
            "exp in the past": now - 3600,
            "exp just past the leeway": now - 31,
            "exp 0": 0,
            "exp negative": -now,
            "exp hugely negative": -(10**400),
            "exp huge": 10**30,
            "exp larger than a float": 10**400,
            "exp NaN": math.nan,
            "exp infinite": math.inf,
            "exp with a fraction": now + 60.5,
            "exp true": True,
            "exp as a string": str(now + 60),
            "exp as a list": [now + 60],
        }
        text = _json(self.claims).replace(str(self.claims["exp"]), "1e400")
        return {
            **{name: self.with_claims(exp=value) for name, value in ends.items()},
            "exp 1e400": self.signed(self.header, text, self.key.sign),
            "nbf in the future": self.with_claims(nbf=now + 3600),
            "nbf as a string": self.with_claims(nbf=str(now)),
            "nbf NaN": self.with_claims(nbf=math.nan),
            "iat in the future": self.with_claims(iat=now + 3600),
            "iat as a string": self.with_claims(iat=str(now)),
        }

    def _signatures(self) -> dict[str, str]:
        content, _, signature = self.token.rpartition(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        last = signature[-1]
        other = next(each for each in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if each not in (last, "A", "Q"))
        return {
            "signature truncated": f"{content}.{b64(raw[:-1])}",
            "signature extended": f"{content}.{b64(raw + b'x')}",
            "signature empty": f"{content}.",
            "signature of zeros": f"{content}.{b64(bytes(64))}",
            "signature doubled": f"{content}.{b64(raw + raw)}",
            "signature with one bit changed": f"{content}.{b64(raw[:-1] + bytes([raw[-1] ^ 1]))}",
            "signature not canonical": f"{content}.{signature[:-1]}{other}",
            "signature padded": f"{content}.{signature}==",
            "signature in hex": f"{content}.{raw.hex()}",
            "signature of other claims": f"{self.with_claims(sub='root').rpartition('.')[0]}.{signature}",
        }

    def _shapes(self) -> dict[str, str]:
        header, claims, signature = self.token.split(".")
        large = self.with_claims(extra="x" * 20_000)
        return {
            "two parts": f"{header}.{claims}",
            "four parts": f"{self.token}.{signature}",
            "five parts": f"{header}.{signature}.{signature}.{claims}.{signature}",
            "only dots": "..",
            "header padded": f"{header}=.{claims}.{signature}",
            "space within": f"{header} .{claims}.{signature}",
            "space at the end of a part": f"{header}.{claims} .{signature}",
            "percent-encoded": f"{header}.{claims}%2e{signature}",
            "oversized": large,
            "nested": self.signed(self.header, _json(self.token), self.key.sign),
            "JSON serialization": json.dumps(
                {"protected": header, "payload": claims, "signature": signature}, separators=(",", ":")
            ),
            "not ASCII": f"{header}.{claims}.{signature[:-1]}\u00e9",
            "token of another hub": self.other,
            "refresh token": self.refresh,
        }


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _padded(claims: Json) -> str:
    """Return the claims in base64url with bits that belong to no byte, if there is place for them."""
    text = b64(_json(claims))
    return f"{text[:-1]}{chr(ord(text[-1]) + 1)}" if len(text) % 4 else f"{text}="


def _decoded(part: str) -> Json:
    found: Json = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def _changed(given: Json, changed: Mapping[str, Any]) -> Json:
    return {name: value for name, value in {**given, **changed}.items() if value is not ABSENT}


def _hs256(secret: bytes) -> Sign:
    return lambda content: hmac.new(secret, content, hashlib.sha256).digest()


def _es256(key: ec.EllipticCurvePrivateKey) -> Sign:
    def sign(content: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(content, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign


def _rs256() -> Sign:
    key = rsa.generate_private_key(65537, 2048)
    return lambda content: key.sign(content, PKCS1v15(), SHA256())
