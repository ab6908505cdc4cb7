"""Checking a caller's password: constant time, hashed or plain."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from functools import lru_cache

from .rules_model import Caller
from .secret_refs import is_reference, resolve_reference

__all__ = ["Authenticator", "hash_password", "hash_problem"]

#: scrypt's cost: 16 MiB and about 40 ms, the interactive setting of RFC 7914's author.
_N, _R, _P = 2**14, 8, 1
#: Above this a rules file could make the service ask for gigabytes.
_MAX_MEMORY = 64 * 1024 * 1024
_MAX_REMEMBERED = 10_000


def hash_password(password: str) -> str:
    """``scrypt$N$r$p$salt$hash`` (Base64), for ``password_hash`` in a rules file."""
    salt = secrets.token_bytes(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P, maxmem=_MAX_MEMORY)
    parts = (base64.b64encode(part).decode("ascii") for part in (salt, digest))
    return "$".join(("scrypt", str(_N), str(_R), str(_P), *parts))


def _split(stored: str) -> tuple[int, int, int, bytes, bytes]:
    scheme, n, r, p, salt, digest = stored.split("$")
    if scheme != "scrypt":
        raise ValueError
    return (
        int(n),
        int(r),
        int(p),
        base64.b64decode(salt, validate=True),
        base64.b64decode(digest, validate=True),
    )


@lru_cache(maxsize=64)
def _computable(n: int, r: int, p: int, length: int) -> bool:
    """Whether scrypt works with this cost; tried once a cost, not once a caller (40 ms each)."""
    hashlib.scrypt(b"", salt=b"x" * 16, n=n, r=r, p=p, dklen=length, maxmem=_MAX_MEMORY)
    return True


def hash_problem(stored: str) -> str | None:
    """What is wrong with a stored hash, or None."""
    try:
        n, r, p, salt, digest = _split(stored)
        sound = bool(salt) and len(digest) >= 16 and _computable(n, r, p, len(digest))
    except (ValueError, binascii.Error, OverflowError):
        sound = False
    if not sound:
        return "expected scrypt$N$r$p$salt$hash, as `kafkaroute hash-password` prints it"
    return None


def _matches(caller: Caller, password: str) -> bool:
    if caller.password_hash is not None:
        n, r, p, salt, digest = _split(caller.password_hash)
        made = hashlib.scrypt(
            password.encode(), salt=salt, n=n, r=r, p=p, dklen=len(digest), maxmem=_MAX_MEMORY
        )
        return hmac.compare_digest(made, digest)
    stored = caller.password or ""
    if is_reference(stored):
        stored = resolve_reference(stored)
    # An unset secret reference is an empty string, and must open nothing.
    return bool(stored) & hmac.compare_digest(stored.encode(), password.encode())


class Authenticator:
    """Says whether a caller is who it claims to be. Thread-safe.

    A hash that was proven once is remembered under a keyed digest, so that it costs scrypt's
    40 ms once a caller, not once a request.
    """

    def __init__(self, callers: Mapping[str, Caller]) -> None:
        self._callers = callers
        self._key = secrets.token_bytes(32)
        self._proven: dict[bytes, None] = {}
        hashed = next((c for c in callers.values() if c.password_hash is not None), None)
        # Who is unknown costs as much time as who is known.
        self._decoy = Caller(
            "",
            password=None if hashed else secrets.token_hex(16),
            password_hash=hashed.password_hash if hashed else None,
        )

    @property
    def open_to_all(self) -> bool:
        return not self._callers

    def is_cheap(self, user: str, password: str) -> bool:
        """True where :meth:`check` answers within microseconds."""
        caller = self._callers.get(user, self._decoy)
        return caller.password_hash is None or self._digest(user, password) in self._proven

    def check(self, user: str, password: str) -> bool:
        """True where `password` is that of the caller `user`."""
        caller = self._callers.get(user)
        if caller is None:
            _matches(self._decoy, password)
            return False
        if caller.password_hash is None:
            return _matches(caller, password)
        digest = self._digest(user, password)
        if digest in self._proven:
            return True
        if not _matches(caller, password):
            return False
        if len(self._proven) >= _MAX_REMEMBERED:
            self._proven.clear()
        self._proven[digest] = None
        return True

    def _digest(self, user: str, password: str) -> bytes:
        # A user name holds no colon, so the pair is unambiguous.
        return hmac.digest(self._key, f"{user}:{password}".encode(), "sha256")
