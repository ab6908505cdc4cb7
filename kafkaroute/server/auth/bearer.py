"""OAuth 2 bearer tokens: JSON Web Tokens of the issuers that the rules name (RFC 6750, RFC 9068)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jwt

from ...rules.model import Bearer, Rules
from .jwks import IssuerKeys

__all__ = ["BearerTokens", "Proof", "TokenRefused"]

#: Tokens with long lists of groups reach 4 KB.
_MAX_TOKEN = 16 * 1024
_MAX_NAME = 256


class TokenRefused(Exception):
    """Says why; holds nothing of the token."""


class Proof(NamedTuple):
    """Who a token speaks for, and until when (seconds since the epoch)."""

    name: str
    listed_only: bool
    expires: float


class BearerTokens:
    """Checks tokens: signature, issuer, audience, life. Keeps each issuer's keys.

    The key and the algorithm are chosen by the rules and the issuer's key set, never by the token:
    ``none``, shared secrets (HS256 with the public key as the secret), ``jwk``, ``jku`` and
    ``x5u`` headers prove nothing.
    """

    def __init__(self, keys: Callable[[str], IssuerKeys] = IssuerKeys) -> None:
        self._make_keys = keys
        self._keys: dict[str, IssuerKeys] = {}

    async def prove(self, token: str, rules: Rules) -> Proof:
        """Who `token` speaks for.

        Raises:
            TokenRefused: it proves nothing.
            KeysUnavailable: its issuer's keys cannot be had now.
        """
        if len(token) > _MAX_TOKEN:
            raise TokenRefused("the token is too long")
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise TokenRefused("the token is no JSON Web Token") from None
        trusted = _issuer(rules, claims.get("iss"))
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in trusted.algorithms:
            raise TokenRefused("the token's algorithm is not accepted")
        if kid is not None and not isinstance(kid, str):
            raise TokenRefused("the token's key id is no text")
        keys = self._keys.get(trusted.jwks)
        if keys is None:
            keys = self._keys[trusted.jwks] = self._make_keys(trusted.jwks)
        key = await keys.key(kid, str(algorithm))
        if key is None:
            raise TokenRefused("the issuer has no such key")
        return _proof(_verified(token, key.key, str(algorithm), trusted), trusted)


def _issuer(rules: Rules, issuer: object) -> Bearer:
    if rules.authentication is not None:
        for trusted in rules.authentication.bearer:
            if trusted.issuer == issuer:
                return trusted
    raise TokenRefused("the token's issuer is not accepted")


def _verified(token: str, key: Any, algorithm: str, trusted: Bearer) -> dict[str, Any]:
    try:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=list(trusted.audiences),
            issuer=trusted.issuer,
            leeway=trusted.leeway,
            options={"require": ["exp", "iss", "aud"]},
        )
    except jwt.ExpiredSignatureError:
        raise TokenRefused("the token has expired") from None
    except (jwt.ImmatureSignatureError, jwt.InvalidIssuedAtError):
        raise TokenRefused("the token is not valid yet") from None
    except jwt.InvalidAudienceError:
        raise TokenRefused("the token is meant for another audience") from None
    except jwt.MissingRequiredClaimError as error:
        raise TokenRefused(f"the token has no {error.claim!r}") from None
    except (jwt.PyJWTError, ValueError, TypeError):
        raise TokenRefused("the token's signature or content is wrong") from None


def _proof(claims: dict[str, Any], trusted: Bearer) -> Proof:
    name = claims.get(trusted.claim)
    if not isinstance(name, str) or not name or len(name) > _MAX_NAME or not name.isprintable():
        raise TokenRefused(f"the token's {trusted.claim!r} names nobody")
    expires = float(claims["exp"]) + trusted.leeway
    return Proof(trusted.prefix + name, trusted.listed_only, min(expires, time.time() + 86_400))
