"""The public keys of a token issuer: fetched, kept, exchanged when the issuer rotates them."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import requests
from jwt import PyJWK, PyJWTError
from urllib3.exceptions import HTTPError

from ...regular_files import read_regular

__all__ = ["IssuerKey", "IssuerKeys", "KeysUnavailable", "fetch_jwks"]

_log = logging.getLogger("kafkaroute.server.tokens")

#: Seconds after which keys are fetched again, so that a withdrawn one ends.
_MAX_AGE = 300.0
#: Seconds between two fetches, whatever strangers write into their tokens.
_MIN_INTERVAL = 10.0
#: Seconds for which keys are believed while the issuer cannot be reached.
_KEPT_FOR = 3600.0
_MAX_BYTES = 1024 * 1024
#: Seconds to connect, for one read, and for all.
_TIMEOUT = (3.0, 5.0)
_DEADLINE = 10.0
#: NIST SP 800-131A: shorter RSA keys are no proof.
_MIN_RSA_BITS = 2048
_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}


class IssuerKey(NamedTuple):
    """One public key; `algorithm` where the issuer says which it is for."""

    kid: str | None
    kty: str
    algorithm: str | None
    key: Any


class KeysUnavailable(Exception):
    """The issuer's keys cannot be had now."""


def fetch_jwks(url: str) -> Any:
    """The decoded key set at `url` (https, http or file). Blocks.

    Raises:
        OSError, ValueError: it cannot be read, or is none; no secret is in the text.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return json.loads(read_regular(unquote(parts.path), _MAX_BYTES))
    # A redirect would let the issuer's host choose another one for it.
    with requests.get(url, timeout=_TIMEOUT, allow_redirects=False, stream=True) as answer:
        if answer.status_code != 200:
            raise ValueError(f"answered {answer.status_code}")
        return json.loads(_body(answer.raw, time.monotonic() + _DEADLINE))


def _body(raw: Any, deadline: float) -> bytes:
    """All of an answer's body; `requests` bounds each read, and not all of them together."""
    body = b""
    try:
        while piece := raw.read1(_MAX_BYTES, decode_content=True):
            body += piece
            if len(body) > _MAX_BYTES:
                raise ValueError(f"more than {_MAX_BYTES} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not there after {_DEADLINE:g} s")
    except HTTPError as error:  # cut off, or no HTTP
        raise OSError(type(error).__name__) from None
    return body


class IssuerKeys:
    """The keys at one URL. For one event loop; fetches run in a thread, one at a time.

    Args:
        fetch: reads the key set (blocks).
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        url: str,
        *,
        fetch: Callable[[str], Any] = fetch_jwks,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._fetch = fetch
        self._clock = clock
        self._keys: list[IssuerKey] = []
        self._fetched: float | None = None
        self._tried: float | None = None
        self._fetching = asyncio.Lock()

    async def key(self, kid: str | None, algorithm: str) -> IssuerKey | None:
        """The key that made a signature; None where the issuer has no such key.

        Raises:
            KeysUnavailable: none were ever fetched, or too long ago.
        """
        await self._refresh(_MAX_AGE)
        found = self._select(kid, algorithm)
        if found is None:
            # Perhaps the issuer has a new one.
            await self._refresh(_MIN_INTERVAL)
            found = self._select(kid, algorithm)
        return found

    async def _refresh(self, max_age: float) -> None:
        """Fetch where the keys are older than `max_age` seconds, at most once an interval."""
        if not self._is_due(max_age):
            return
        async with self._fetching:
            if not self._is_due(max_age):  # somebody else has just done it
                return
            self._tried = self._clock()
            try:
                self._keys = _usable(await asyncio.to_thread(self._fetch, self._url))
            except (OSError, ValueError, PyJWTError) as error:
                # requests' errors are OSErrors; their texts may hold a proxy's credentials.
                _log.warning(
                    "the keys at %s cannot be fetched: %s", _shown(self._url), type(error).__name__
                )
            else:
                self._fetched = self._tried
        if self._fetched is None or self._clock() - self._fetched > _KEPT_FOR:
            raise KeysUnavailable

    def _is_due(self, max_age: float) -> bool:
        now = self._clock()
        if self._fetched is not None and now - self._fetched < max_age:
            return False
        if self._tried is not None and now - self._tried < _MIN_INTERVAL:
            if self._fetched is None or now - self._fetched > _KEPT_FOR:
                raise KeysUnavailable
            return False
        return True

    def _select(self, kid: str | None, algorithm: str) -> IssuerKey | None:
        fitting = [
            key
            for key in self._keys
            if key.kty == _KEY_TYPES[algorithm[:2]]
            and key.algorithm in {None, algorithm}
            and (kid is None or key.kid == kid)
        ]
        # Without a key id only where there is no choice.
        return fitting[0] if fitting and (kid is not None or len(fitting) == 1) else None


def _usable(decoded: Any) -> list[IssuerKey]:
    entries = decoded.get("keys") if isinstance(decoded, dict) else None
    found = [key for entry in entries or () if (key := _read(entry)) is not None]
    if not found:
        raise ValueError("no usable key")
    return found


def _read(entry: Any) -> IssuerKey | None:
    """A key that may verify signatures, of a kind that this release knows."""
    # Not "oct", a shared secret: who verifies with it could sign.
    if not isinstance(entry, dict) or entry.get("kty") not in _KEY_TYPES.values():
        return None
    kid, algorithm = entry.get("kid"), entry.get("alg")
    if entry.get("use", "sig") != "sig" or not isinstance(algorithm, str | None):
        return None
    try:
        key = PyJWK(entry).key
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    if entry["kty"] == "RSA" and key.key_size < _MIN_RSA_BITS:
        return None
    return IssuerKey(kid if isinstance(kid, str) else None, entry["kty"], algorithm, key)


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
