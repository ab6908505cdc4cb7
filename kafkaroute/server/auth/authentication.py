"""Every way of proving who asks: passwords, bearer tokens, client certificates."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable
from typing import NamedTuple

from ...rules.model import Rules
from ...rules.secrets.stores import SecretUnavailable
from ..http import Header, Identity, Refused, Request, Response, problem
from ..stores.store import State
from ..workers import Busy, Workers
from .bearer import BearerTokens, TokenRefused
from .certificates import CertificateRefused, name_in, presented
from .jwks import KeysUnavailable

__all__ = ["Authentication"]

#: Seconds for which a proof is not looked at again: what a secret store or an issuer changed is
#: noticed within them.
_REMEMBERED_FOR = 60.0
#: Seconds for which a refused password is refused again without computing its hash.
_REFUSED_FOR = 10.0
_MAX_REMEMBERED = 20_000
#: Password checks of one address that wait for their turn: about a second's work; and of all.
_MAX_WAITING = 50
_MAX_WAITING_IN_ALL = 500
#: Characters of user and password together. What is longer is nobody's, and would be kept while it
#: waits.
_MAX_PASSWORD = 1_000
_ANYBODY = Identity()
_BASIC: Header = (b"www-authenticate", b'Basic realm="kafkaroute", charset="UTF-8"')


class _Known(NamedTuple):
    identity: Identity | None
    until: float


class Authentication:
    """Says who asks, by the ways that the rules in force accept. For the event loop's thread.

    Proofs are remembered for a minute under a keyed digest: neither passwords nor tokens are kept.

    Args:
        tokens: checks bearer tokens.
        clock: seconds, monotonic.
        max_checks: password hashes computed at the same time (each takes 16 MiB and 40 ms).
    """

    def __init__(
        self,
        tokens: BearerTokens | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        max_checks: int = 2,
    ) -> None:
        self._tokens = tokens or BearerTokens()
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._rules: Rules | None = None
        self._proven: dict[bytes, _Known] = {}
        self._refused: dict[bytes, _Known] = {}
        self._checking: dict[bytes, asyncio.Future[bool]] = {}
        self._checks = Workers(
            "kafkaroute-passwords", max_checks, most_each=_MAX_WAITING, most=_MAX_WAITING_IN_ALL
        )

    def challenges(self) -> tuple[Header, ...]:
        return _challenges(self._rules)

    async def identify(self, request: Request, state: State) -> Identity | None:
        """Who asks; None where nothing was presented that could prove it.

        Raises:
            Refused: what was presented proves nothing; says why without repeating it.
        """
        rules = state.rules
        if rules is not self._rules:
            self._rules = rules
            self._proven.clear()
            self._refused.clear()
        if rules.open_to_all:
            return _ANYBODY
        header = request.headers.get(b"authorization")
        if header is None:
            return self._by_certificate(request, rules)
        digest = self._digest(header)
        known = self._proven.get(digest) or self._refused.get(digest)
        if known is not None and self._clock() < known.until:
            return known.identity
        scheme, _, presented_by = header.partition(b" ")
        match scheme.lower():
            case b"basic":
                return await self._by_password(digest, presented_by, state, request)
            case b"bearer" if rules.authentication is not None and rules.authentication.bearer:
                return await self._by_token(digest, presented_by, rules)
        return None

    def remembered(self, request: Request, state: State) -> Identity | None:
        """Who asks, where that is known without a look at what was presented; else None, and
        :meth:`identify` finds out."""
        rules = state.rules
        if rules is not self._rules:
            return None
        if rules.open_to_all:
            return _ANYBODY
        header = request.headers.get(b"authorization")
        if header is None:
            return None
        known = self._proven.get(self._digest(header))
        return known.identity if known is not None and self._clock() < known.until else None

    def _digest(self, presented_by: bytes) -> bytes:
        return hashlib.blake2b(presented_by, key=self._key, digest_size=16).digest()

    def _remember(self, digest: bytes, identity: Identity | None, seconds: float) -> None:
        # Two tables, so that nobody can push proofs out by guessing.
        table = self._refused if identity is None else self._proven
        table.pop(digest, None)
        table[digest] = _Known(identity, self._clock() + seconds)
        while len(table) > _MAX_REMEMBERED:
            del table[next(iter(table))]

    async def _by_password(
        self, digest: bytes, encoded: bytes, state: State, request: Request
    ) -> Identity | None:
        try:
            user, colon, password = (
                b64decode(encoded.strip(), validate=True).decode().partition(":")
            )
        except (Base64Error, UnicodeDecodeError):
            return None
        if not colon or len(user) + len(password) > _MAX_PASSWORD:
            return None
        try:
            if state.authenticator.is_cheap(user, password):
                proven = state.authenticator.check(user, password)
            else:
                proven = await self._checked(digest, user, password, state, request)
        except SecretUnavailable:
            raise Refused(
                problem(503, "The caller's password cannot be read now", (b"retry-after", b"5"))
            ) from None
        identity = _identity(state.rules, user) if proven else None
        if state.rules is self._rules:  # else they changed while the hash was computed
            self._remember(digest, identity, _REMEMBERED_FOR if proven else _REFUSED_FOR)
        return identity

    async def _checked(
        self, digest: bytes, user: str, password: str, state: State, request: Request
    ) -> bool:
        """One computation of a hash, however many requests ask for it at the same time. Addresses
        take turns, and in one of them the names that it tries: whoever guesses is behind itself."""
        running = self._checking.get(digest)
        if running is not None:
            return await asyncio.shield(running)

        async def check() -> bool:
            try:
                return await self._checks.run(
                    lambda: state.authenticator.check(user, password), who=request.who, name=user
                )
            except Busy:
                raise Refused(
                    problem(503, "Too many passwords are being checked", (b"retry-after", b"1"))
                ) from None
            finally:
                del self._checking[digest]

        # Its own task: the one who asked first may hang up while others wait for the same.
        task = asyncio.get_running_loop().create_task(check())
        task.add_done_callback(_seen)
        self._checking[digest] = task
        return await asyncio.shield(task)

    async def _by_token(self, digest: bytes, token: bytes, rules: Rules) -> Identity:
        try:
            proof = await self._tokens.prove(token.strip().decode("latin-1"), rules)
        except TokenRefused as refused:
            raise Refused(_unauthorized(rules, str(refused), token=True)) from None
        except KeysUnavailable:
            raise Refused(
                problem(503, "The keys of the token's issuer cannot be had", (b"retry-after", b"5"))
            ) from None
        identity = _permitted(rules, proof.name, listed_only=proof.listed_only)
        if rules is self._rules:
            left = proof.expires - time.time()
            self._remember(digest, identity, min(_REMEMBERED_FOR, left))
        return identity

    def _by_certificate(self, request: Request, rules: Rules) -> Identity | None:
        trusted = rules.authentication.certificates if rules.authentication is not None else None
        if trusted is None:
            return None
        try:
            certificate = presented(request.scope, trusted)
            if certificate is None:
                return None
            digest = self._digest(b"certificate " + certificate)
            known = self._proven.get(digest)
            if known is not None and self._clock() < known.until:
                return known.identity
            name = name_in(certificate, trusted.name)
        except CertificateRefused as refused:
            raise Refused(_unauthorized(rules, str(refused))) from None
        identity = _permitted(rules, trusted.prefix + name, listed_only=trusted.listed_only)
        self._remember(digest, identity, _REMEMBERED_FOR)
        return identity


def _seen(task: asyncio.Task[bool]) -> None:
    """Also where nobody waits for it any more: asyncio would log its error with the text."""
    if not task.cancelled():
        task.exception()


def _identity(rules: Rules, name: str) -> Identity:
    caller = rules.callers.get(name)
    return Identity(name, admin=caller is not None and caller.is_admin)


def _permitted(rules: Rules, name: str, *, listed_only: bool) -> Identity:
    if listed_only and name not in rules.callers:
        raise Refused(problem(403, "This caller is not among the rules' callers"))
    return _identity(rules, name)


def _challenges(rules: Rules | None, error: str = "") -> tuple[Header, ...]:
    bearer: Header = (b"www-authenticate", b'Bearer realm="kafkaroute"' + error.encode())
    if rules is None or rules.authentication is None or not rules.authentication.bearer:
        return (_BASIC,)  # a 401 has one (RFC 9110), and certificates have no scheme
    has_passwords = any(
        caller.password is not None or caller.password_hash is not None
        for caller in rules.callers.values()
    )
    return (_BASIC, bearer) if has_passwords else (bearer,)


def _unauthorized(rules: Rules, why: str, *, token: bool = False) -> Response:
    # RFC 6750, 3.1; `why` has no quotes of its own.
    error = f', error="invalid_token", error_description="{why.replace(chr(34), chr(39))}"'
    return problem(401, f"Unauthorized: {why}", *_challenges(rules, error if token else ""))
