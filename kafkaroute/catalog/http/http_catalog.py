"""The catalog service over HTTP: one question, one deadline.

The ``Authorization`` header comes from ``oauth``, from ``basic_auth`` (or from ``user:password@``
in the URI) and from nowhere else: ``.netrc`` is not read, redirects are not followed. Error
messages of the service that are known by heart are told in own words.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from ..._version import __version__
from ...errors import CatalogError, ConfigurationError
from ...route import Route
from ..answer import route_from_answer
from ..contract import Catalog, Lookup
from ..query import flattened, query_string
from .authorization import authorization
from .exchange import MAX_ANSWER_BYTES, HttpClient, Peer, Reply, Unreadable
from .http_errors import Again, no_route, refused

if TYPE_CHECKING:
    from ...settings import Settings

__all__ = ["MAX_ANSWER_BYTES", "HttpCatalog", "cache_control"]

_log = logging.getLogger("kafkaroute.catalog.http")

#: Pauses between tries, in seconds: 0.1, 0.2, … 1, each shortened by up to half at random. Six
#: tries take about 2 s; what then still fails is the cache's to retry.
_FIRST_PAUSE, _LONGEST_PAUSE, _MOST_TRIES = 0.1, 1.0, 6


class HttpCatalog(Catalog):
    """Asks an HTTP service, each question within its time. Thread-safe, keeps connections open, and opens
    its own in the child of a fork.

    Args:
        settings: ``service_gateway_uri``, ``basic_auth``, ``oauth``, ``config_profile``,
            ``client_id``, ``additional_params``, ``verify`` and ``cert`` are used.

    Raises:
        ConfigurationError: a URI without host, a certificate file that is not there, additional
            parameters that cannot be sent, two ways to log in.
    """

    can_wait = True

    def __init__(self, settings: Settings) -> None:
        parts = urlsplit(settings.service_gateway_uri)
        if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
            raise ConfigurationError("service_gateway_uri is no http or https address with a host")
        host = parts.netloc.rpartition("@")[2]
        self._where = urlunsplit((parts.scheme.lower(), host, parts.path, "", ""))
        self._base = f"{self._where or '/'}?{parts.query}&" if parts.query else f"{self._where}?"
        self._profile = settings.config_profile
        self._client_id = settings.client_id
        self._additional = flattened(settings.additional_params)
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"kafkaroute/{__version__}",
        }
        self._client = HttpClient(settings.verify, settings.cert)
        self._peer = Peer(f"catalog {self._where}", self._where)
        self._login = authorization(settings, parts, self._client)
        if parts.scheme.lower() == "https" and settings.verify is False:
            _log.warning(
                "TLS certificate of catalog %s is not verified (verify=False)", self._where
            )

    def lookup(self, question: Lookup) -> Route | None:
        deadline = time.monotonic() + question.timeout
        pause = _FIRST_PAUSE
        for tries in range(1, _MOST_TRIES + 1):
            try:
                return self._route(question, self._ask(question, deadline))
            except Again as again:
                error = again.error
            wait = max(pause * random.uniform(0.5, 1), error.retry_after or 0)
            pause = min(2 * pause, _LONGEST_PAUSE)
            # Not worth waiting when nothing would be left to ask in.
            if tries == _MOST_TRIES or time.monotonic() + wait + 0.05 >= deadline:
                break
            if self._client.closed.wait(wait):
                break
        raise error

    def wait(self, question: Lookup, seconds: float) -> bool:
        deadline = time.monotonic() + seconds + question.timeout
        try:
            reply = self._ask(question, deadline, max(1, round(seconds)))
            if reply.status not in (200, 304):
                raise self._refused(question, reply)
        except Again as again:
            raise again.error from None
        return reply.status == 200 and reply.headers.get("ETag") != question.etag

    def close(self) -> None:
        self._client.close()

    def describe(self) -> Mapping[str, Any]:
        return MappingProxyType(
            {
                "uri": self._where,
                "config_profile": self._profile,
                "authentication": self._login.kind,
                "client_certificate": self._client.cert is not None,
                "verify": self._client.verify,
            }
        )

    def scope(self) -> str:
        identity = [
            self._base,
            self._profile,
            self._client_id,
            self._additional,
            self._login.identity,
        ]
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
        return f"{self._where} {self._profile or ''} {digest[:16]}"

    def __repr__(self) -> str:
        return f"<HttpCatalog {self._where}>"

    # --- one try --------------------------------------------------------------------------

    def _ask(self, question: Lookup, deadline: float, wait: int | None = None) -> Reply:
        """One answer, after a second login where the first was refused; with `wait`, a long poll
        of so many seconds (RFC 7240)."""
        query = query_string(
            self._profile,
            question.channel.uri,
            self._additional,
            question.intent,
            self._client_id,
        )
        headers = dict(self._headers)
        if question.etag is not None:
            headers["If-None-Match"] = question.etag
        if wait is not None:
            headers["Prefer"] = f"wait={wait}"

        def send() -> tuple[Reply, str | None]:
            # Others may wait for the same token: a long poll's own deadline is none for that.
            proof = self._login.header(min(deadline, time.monotonic() + question.timeout))
            shown = {"Authorization": proof} if proof is not None else {}
            url, waits = self._base + query, wait is not None
            reply = self._client.send(self._peer, url, headers | shown, deadline, breakable=waits)
            return reply, proof

        try:
            reply, proof = send()
            if reply.status == 401 and self._login.outdated(proof):
                reply, _ = send()
        except Unreadable as error:
            raise no_route(self._where, question.channel, error.what) from None
        return reply

    def _route(self, question: Lookup, reply: Reply) -> Route | None:
        if reply.status == 304 and question.etag is not None:
            return None
        if 300 <= reply.status < 400:
            raise no_route(
                self._where,
                question.channel,
                f"it is a redirect ({reply.status}), which is not followed",
            )
        if reply.status != 200:
            raise self._refused(question, reply)
        answer = self._decoded(question, reply.body)
        max_age, stale_if_error = cache_control(reply.headers.get("Cache-Control"))
        return route_from_answer(
            question.channel,
            answer,
            max_age=max_age,
            stale_if_error=stale_if_error,
            etag=reply.headers.get("ETag"),
        )

    def _refused(self, question: Lookup, reply: Reply) -> CatalogError | Again:
        return refused(
            self._where,
            question.channel,
            reply.status,
            reply.headers,
            reply.body,
            anonymous=self._login.kind == "none",
        )

    def _decoded(self, question: Lookup, body: bytes) -> object:
        try:
            return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            raise no_route(self._where, question.channel, "it is no JSON text") from None


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def cache_control(header: str | None) -> tuple[float | None, float | None]:
    """(``max-age``, ``stale-if-error``) in seconds; None where not sent or not a number.

    ``no-store`` and ``no-cache`` are passed over: gateways add them to everything, and a catalog
    that wants to be asked often says ``max-age``.
    """
    found: dict[str, float] = {}
    for directive in (header or "").split(","):
        name, _, value = directive.strip().partition("=")
        value = value.strip().strip('"')
        # A bound on the digits: int() of a long text is slow, and no route lives 300 years.
        if value.isascii() and value.isdigit() and len(value) <= 10:
            found.setdefault(name.strip().lower(), float(value))
    return found.get("max-age"), found.get("stale-if-error")
