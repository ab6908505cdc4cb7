"""Checking a caller's password: constant time, hashed or plain."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
from collections.abc import Mapping
from functools import lru_cache

from .model import Caller
from .secrets.refs import is_reference, resolve_reference

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


def _scrypt_matches(stored: str, password: str) -> bool:
    n, r, p, salt, digest = _split(stored)
    made = hashlib.scrypt(
        password.encode(), salt=salt, n=n, r=r, p=p, dklen=len(digest), maxmem=_MAX_MEMORY
    )
    return hmac.compare_digest(made, digest)


def _plain_matches(stored: str, password: str) -> bool:
    if is_reference(stored):
        stored = resolve_reference(stored)
    # An unset secret reference is an empty string, and must open nothing.
    return bool(stored) & hmac.compare_digest(stored.encode(), password.encode())


class _Proofs:
    """Which password was found to belong to which hash, so that scrypt runs once for it.

    Kept under a keyed digest of both: neither a password nor its plain digest is in memory, and
    rules that are read again find their callers' proofs.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._found: dict[bytes, None] = {}
        self._lock = threading.Lock()

    def digest(self, stored: str, password: str) -> bytes:
        # A stored hash holds no NUL, so the pair is unambiguous.
        return hmac.digest(self._key, f"{stored}\0{password}".encode(), "sha256")

    def known(self, digest: bytes) -> bool:
        return digest in self._found

    def add(self, digest: bytes) -> None:
        with self._lock:
            self._found[digest] = None
            while len(self._found) > _MAX_REMEMBERED:
                del self._found[next(iter(self._found))]


_proofs = _Proofs()


class Authenticator:
    """Says whether a caller is who it claims to be. Thread-safe; constant time.

    A hash that was proven once is remembered, so that it costs scrypt's 40 ms once a caller, not
    once a request. A refusal costs the same whether the caller exists or not, and whether its
    password is hashed or not; where hashes differ in cost, a name that nobody has costs what one of
    them does, and the same one each time.
    """

    def __init__(self, callers: Mapping[str, Caller]) -> None:
        self._callers = callers
        self._decoy_hashes = [
            c.password_hash for c in callers.values() if c.password_hash is not None
        ]
        self._decoy = secrets.token_hex(16)
        self._reads_secrets = any(is_reference(caller.password) for caller in callers.values())

    @property
    def open_to_all(self) -> bool:
        return not self._callers

    def is_cheap(self, user: str, password: str) -> bool:
        """True where :meth:`check` answers within microseconds."""
        if not self._decoy_hashes:
            return not self._reads_secrets  # a store of secrets may have to be waited for
        stored = self._stored_hash(user)
        return stored is not None and _proofs.known(_proofs.digest(stored, password))

    def check(self, user: str, password: str) -> bool:
        """True where `password` is that of the caller `user`."""
        stored = self._stored_hash(user)
        if stored is not None:
            digest = _proofs.digest(stored, password)
            if _proofs.known(digest):
                return True
            if not _scrypt_matches(stored, password):
                return False
            _proofs.add(digest)
            return True
        caller = self._callers.get(user)
        own = caller.password if caller is not None else None
        if _plain_matches(self._decoy if own is None else own, password) and own is not None:
            return True
        if self._decoy_hashes:
            _scrypt_matches(self._decoy_for(user), password)
        return False

    def _decoy_for(self, user: str) -> str:
        digest = hmac.digest(self._decoy.encode(), user.encode(), "sha256")
        return self._decoy_hashes[int.from_bytes(digest[:8], "big") % len(self._decoy_hashes)]

    def _stored_hash(self, user: str) -> str | None:
        caller = self._callers.get(user)
        return caller.password_hash if caller is not None else None
