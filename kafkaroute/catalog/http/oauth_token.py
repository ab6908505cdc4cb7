"""Tokens for the catalog, from a token endpoint: OAuth 2 client credentials (RFC 6749, 4.4).

One token serves all threads until shortly before it expires; one request for the next one is
under way at a time, within the deadline of the question that wants it. It goes through the
catalog's own HTTP client: same ``verify``, same client certificate (RFC 8705), same bounds.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit, urlunsplit

from ..._version import __version__
from ...errors import CatalogError, CatalogUnauthorized, CatalogUnavailable
from ...oauth import OAuth
from ..cache.entry import fresh_copy
from .exchange import HttpClient, Peer, Reply, Unreadable
from .http_errors import WORTH_RETRYING, Again, retry_after

__all__ = ["ClientCredentials"]

_log = logging.getLogger("kafkaroute.catalog.oauth")

#: RFC 6750's b68token; the length keeps requests below what servers take for a header.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{1,16384}=*\Z")
#: RFC 6749, 5.2. Only these words are told: others may hold anything.
_ERRORS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",  # RFC 8707
    }
)
#: Seconds that a token serves whose answer does not say how long it lives.
_DEFAULT_LIFE = 300.0
#: A token is exchanged so many seconds before it expires, or a tenth of its life if that is less.
_EARLY = 30.0
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class _Flight:
    """A request for a token under way, which all threads wait for."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.header: str | None = None
        self.error: Exception | None = None


class _Kept:
    """What one process knows; another one in the child of a fork, whose locks are its own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.header: str | None = None
        self.good_until = float("-inf")
        self.flight: _Flight | None = None


class ClientCredentials:
    """The ``Authorization`` of an OAuth client. Thread-safe. No secret is in what it raises."""

    kind = "oauth"

    def __init__(self, oauth: OAuth, client: HttpClient) -> None:
        self._client = client
        parts = urlsplit(oauth.token_url)
        shown = urlunsplit((parts.scheme.lower(), parts.netloc, parts.path, "", ""))
        self._peer = Peer(f"token endpoint {shown}", shown)
        self._url = oauth.token_url
        self.identity = [oauth.token_url, oauth.client_id, oauth.scope, oauth.audience]
        form = {"grant_type": "client_credentials"}
        form |= {"scope": oauth.scope} if oauth.scope is not None else {}
        form |= {"audience": oauth.audience} if oauth.audience is not None else {}
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/x-www-form-urlencoded",
            "User-Agent": f"kafkaroute/{__version__}",
        }
        if oauth.auth_method == "client_secret_post":
            form |= {"client_id": oauth.client_id, "client_secret": oauth.client_secret}
        else:
            # Form-encoded before they are joined: RFC 6749, 2.3.1.
            pair = f"{quote_plus(oauth.client_id)}:{quote_plus(oauth.client_secret)}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._form = urlencode(form).encode()
        self._by_process: dict[int, _Kept] = {}
        if parts.scheme.lower() == "http" and parts.hostname not in _LOOPBACK:
            _log.warning("%s is asked without TLS: it sends secrets readable", self._peer.name)

    def header(self, deadline: float) -> str:
        """``Bearer …``, from memory or from the endpoint by `deadline` (time.monotonic()).

        Raises:
            CatalogUnauthorized: the endpoint refused the client.
            CatalogUnavailable: the endpoint cannot be had, or gives no token.
            Again: the same, where another try may help.
        """
        kept = self._kept()
        with kept.lock:
            if kept.header is not None and time.monotonic() < kept.good_until:
                return kept.header
            flight = kept.flight
            if leads := flight is None:
                flight = kept.flight = _Flight()
        if leads:
            self._fly(kept, flight, deadline)
        elif not flight.done.wait(max(0.0, deadline - time.monotonic())):
            raise CatalogUnavailable(f"{self._peer.name} did not answer in time")
        if flight.header is not None:
            return flight.header
        found = flight.error
        if isinstance(found, Again):
            raise Again(fresh_copy(found.error))
        assert found is not None
        error = fresh_copy(found)
        # Whoever asked may have had less time than this thread.
        raise Again(error) if not leads and isinstance(error, CatalogUnavailable) else error

    def outdated(self, header: str | None) -> bool:
        """The catalog refused the token: forget it. True: the next one may do."""
        kept = self._kept()
        with kept.lock:
            if kept.header == header:
                kept.header = None
        return True

    def _kept(self) -> _Kept:
        return self._by_process.setdefault(os.getpid(), _Kept())

    def _fly(self, kept: _Kept, flight: _Flight, deadline: float) -> None:
        asked = time.monotonic()
        # What stays if the request is interrupted (KeyboardInterrupt, SystemExit).
        flight.error = Again(CatalogUnavailable(f"interrupted asking {self._peer.name}"))
        life = 0.0
        try:
            flight.header, life = self._fetched(deadline)
        except (Again, CatalogError) as error:
            flight.error = error
        finally:
            with kept.lock:
                kept.flight = None
                if flight.header is not None:
                    kept.header = flight.header
                    kept.good_until = asked + life - min(_EARLY, life / 10)
            flight.done.set()

    def _fetched(self, deadline: float) -> tuple[str, float]:
        """The header, and how many seconds it is good for."""
        try:
            reply = self._client.send(self._peer, self._url, self._headers, deadline, self._form)
        except Unreadable as error:
            raise self._no_token(error.what) from None
        answer = _object(reply.body)
        if reply.status != 200:
            raise self._refused(reply, answer)
        token, kind = answer.get("access_token"), answer.get("token_type", "Bearer")
        if not isinstance(token, str) or not _TOKEN.match(token):
            raise self._no_token("it holds no access_token that can be sent")
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise self._no_token("its token_type is not Bearer")
        return f"Bearer {token}", _life(answer.get("expires_in"))

    def _no_token(self, what: str) -> CatalogUnavailable:
        return CatalogUnavailable(f"the answer of {self._peer.name} is no token: {what}")

    def _refused(self, reply: Reply, answer: Mapping[str, Any]) -> CatalogError | Again:
        if reply.redirects:
            return self._no_token(f"it is a redirect ({reply.status}), which is not followed")
        word = answer.get("error")
        told = (
            f"{reply.status}: {word}"
            if isinstance(word, str) and word in _ERRORS
            else str(reply.status)
        )
        if reply.status in (400, 401, 403):
            return CatalogUnauthorized(f"{self._peer.name} refused the client ({told})")
        unavailable = CatalogUnavailable(f"{self._peer.name} failed ({told})").retry_in(
            retry_after(reply.headers)
        )
        return Again(unavailable) if reply.status in WORTH_RETRYING else unavailable


def _object(body: bytes) -> Mapping[str, Any]:
    """The JSON object; empty where it is none."""
    try:
        answer = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _life(expires_in: object) -> float:
    if isinstance(expires_in, str) and expires_in.isascii() and expires_in.isdigit():
        expires_in = int(expires_in[:12])  # against the letter, but seen
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float):
        return _DEFAULT_LIFE
    return float(expires_in) if 0 <= expires_in < 1e12 else _DEFAULT_LIFE
