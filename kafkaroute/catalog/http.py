"""The catalog service over HTTP: one question, one deadline.

Decisions:

- The ``Authorization`` header comes from ``basic_auth`` (or from ``user:password@`` in the URI)
  and from nowhere else: ``.netrc`` is not read, redirects are not followed.
- Proxies are taken from the environment, as they say how to reach things; so is a CA bundle named
  by ``REQUESTS_CA_BUNDLE`` or ``CURL_CA_BUNDLE``, when ``verify`` is not set.
- Texts of exceptions name the service and what went wrong, never what it answered: an answer may
  hold secrets. Error messages of the service that are known by heart are told in own words.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import random
import threading
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

import requests
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from .._version import __version__
from ..errors import (
    CatalogUnavailable,
    ConfigurationError,
)
from ..route import Route
from .answer import route_from_answer
from .cache_control import cache_control
from .contract import Catalog, Lookup
from .http_errors import Again, failed, no_route, refused
from .query import flattened, query_string
from .transport import AnswerTooLarge, BoundedSession, bounded

if TYPE_CHECKING:
    from ..settings import Settings

__all__ = ["MAX_ANSWER_BYTES", "HttpCatalog"]

_log = logging.getLogger("kafkaroute.catalog.http")

#: An answer for one channel is some kilobytes; the bound keeps a wrong address from filling memory.
MAX_ANSWER_BYTES = 1 << 20
#: Room for headers and chunk framing below HTTP.
_FRAMING_BYTES = 1 << 18
#: Connections kept open: the refresher's workers and some application threads.
_POOL_SIZE = 16
#: Pauses between tries, in seconds: 0.1, 0.2, … 1, each shortened by up to half at random. Six
#: tries take about 2 s; what then still fails is the cache's to retry.
_FIRST_PAUSE, _LONGEST_PAUSE, _MOST_TRIES = 0.1, 1.0, 6


class HttpCatalog(Catalog):
    """Asks an HTTP service; see the module's text. Thread-safe, keeps connections open, and opens
    its own in the child of a fork.

    Args:
        settings: ``service_gateway_uri``, ``basic_auth``, ``config_profile``, ``client_id``,
            ``additional_params``, ``verify`` and ``cert`` are used.

    Raises:
        ConfigurationError: a URI without host, a certificate file that is not there, additional
            parameters that cannot be sent.
    """

    def __init__(self, settings: Settings) -> None:
        parts = urlsplit(settings.service_gateway_uri)
        if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
            raise ConfigurationError("service_gateway_uri is no http or https address with a host")
        auth = settings.basic_auth
        if auth is None and parts.username is not None:
            auth = (unquote(parts.username), unquote(parts.password or ""))
        host = parts.netloc.rpartition("@")[2]
        self._where = urlunsplit((parts.scheme.lower(), host, parts.path, "", ""))
        self._base = f"{self._where or '/'}?{parts.query}&" if parts.query else f"{self._where}?"
        self._profile = settings.config_profile
        self._client_id = settings.client_id
        self._additional = flattened(settings.additional_params)
        self._user = auth[0] if auth else None
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"kafkaroute/{__version__}",
        }
        if auth is not None:
            token = base64.b64encode(f"{auth[0]}:{auth[1]}".encode()).decode("ascii")
            self._headers["Authorization"] = f"Basic {token}"
        self._verify = _ca_bundle(settings.verify)
        self._cert = _checked_cert(settings.cert)
        self._proxies = get_environ_proxies(self._where)
        self._sessions: dict[int, BoundedSession] = {}
        self._closed = threading.Event()
        if parts.scheme.lower() == "https" and settings.verify is False:
            _log.warning(
                "TLS certificate of catalog %s is not verified (verify=False)", self._where
            )

    def lookup(self, question: Lookup) -> Route | None:
        deadline = time.monotonic() + question.timeout
        query = query_string(
            self._profile,
            question.channel.uri,
            self._additional,
            question.intent,
            self._client_id,
        )
        pause = _FIRST_PAUSE
        for tries in range(1, _MOST_TRIES + 1):
            try:
                return self._ask(question, self._base + query, deadline)
            except Again as again:
                error = again.error
            wait = max(pause * random.uniform(0.5, 1), error.retry_after or 0)
            pause = min(2 * pause, _LONGEST_PAUSE)
            # Not worth waiting when nothing would be left to ask in.
            if tries == _MOST_TRIES or time.monotonic() + wait + 0.05 >= deadline:
                break
            if self._closed.wait(wait):
                break
        raise error

    def close(self) -> None:
        self._closed.set()
        session = self._sessions.pop(os.getpid(), None)
        if session is not None:
            session.close()

    def describe(self) -> Mapping[str, Any]:
        return MappingProxyType(
            {
                "uri": self._where,
                "config_profile": self._profile,
                "authentication": "none" if self._user is None else "basic",
                "client_certificate": self._cert is not None,
                "verify": self._verify,
            }
        )

    def scope(self) -> str:
        identity = [self._base, self._profile, self._client_id, self._additional, self._user]
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
        return f"{self._where} {self._profile or ''} {digest[:16]}"

    def __repr__(self) -> str:
        return f"<HttpCatalog {self._where}>"

    # --- one try --------------------------------------------------------------------------

    def _session(self) -> BoundedSession:
        if self._closed.is_set():
            raise CatalogUnavailable(f"the catalog client of {self._where} is closed")
        # By process: connections of the parent must not be used (nor shut down) by a child.
        session = self._sessions.get(os.getpid())
        if session is None:
            session = self._sessions.setdefault(os.getpid(), BoundedSession(_POOL_SIZE))
        return session

    def _ask(self, question: Lookup, url: str, deadline: float) -> Route | None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise CatalogUnavailable(f"catalog {self._where} did not answer in time")
        headers = dict(self._headers)
        if question.etag is not None:
            headers["If-None-Match"] = question.etag
        request = requests.Request("GET", self._where, headers=headers).prepare()
        request.url = url  # exactly as written
        session = self._session()
        try:
            with bounded(deadline, MAX_ANSWER_BYTES + _FRAMING_BYTES):
                response = session.send(
                    request,
                    stream=True,
                    allow_redirects=False,
                    timeout=(left, left),
                    verify=self._verify,
                    cert=self._cert,
                    proxies=self._proxies,
                )
                try:
                    return self._read(question, response)
                finally:
                    response.close()
        except AnswerTooLarge:
            raise no_route(self._where, question.channel, "it is larger than 1 MiB") from None
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            # `from None`: requests' texts hold the whole URL, proxy passwords included.
            raise failed(self._where, error) from None

    def _read(self, question: Lookup, response: requests.Response) -> Route | None:
        status = response.status_code
        if status == 304 and question.etag is not None:
            self._body(question, response)  # empty; read, so that the connection is kept
            return None
        if 300 <= status < 400:
            raise no_route(
                self._where, question.channel, f"it is a redirect ({status}), which is not followed"
            )
        body = self._body(question, response)
        if status != 200:
            raise refused(
                self._where,
                question.channel,
                status,
                response.headers,
                body,
                anonymous=self._user is None,
            )
        answer = self._decoded(question, body)
        max_age, stale_if_error = cache_control(response.headers.get("Cache-Control"))
        return route_from_answer(
            question.channel,
            answer,
            max_age=max_age,
            stale_if_error=stale_if_error,
            etag=response.headers.get("ETag"),
        )

    def _body(self, question: Lookup, response: requests.Response) -> bytes:
        declared = response.headers.get("Content-Length", "")
        if declared.isdigit() and int(declared) > MAX_ANSWER_BYTES:
            raise AnswerTooLarge
        parts, size = [], 0
        for part in response.raw.stream(1 << 16, decode_content=False):
            parts.append(part)
            size += len(part)
            if size > MAX_ANSWER_BYTES:
                raise AnswerTooLarge
        body = b"".join(parts)
        if declared.isdigit() and size < int(declared):
            raise Again(CatalogUnavailable(f"catalog {self._where} broke off its answer"))
        coding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if coding in ("", "identity"):
            return body
        # Not asked for, but some gateways compress all the same.
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise no_route(self._where, question.channel, "its Content-Encoding is unknown")
        unpacker = zlib.decompressobj(47 if coding != "deflate" else 15)
        try:
            unpacked = unpacker.decompress(body, MAX_ANSWER_BYTES + 1)
        except zlib.error:
            raise no_route(
                self._where, question.channel, f"it cannot be unpacked ({coding})"
            ) from None
        if len(unpacked) > MAX_ANSWER_BYTES:
            raise AnswerTooLarge
        return unpacked

    def _decoded(self, question: Lookup, body: bytes) -> object:
        try:
            return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            raise no_route(self._where, question.channel, "it is no JSON text") from None


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _ca_bundle(verify: bool | str) -> bool | str:
    if verify is True:
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        return bundle or True
    if isinstance(verify, str) and not Path(verify).exists():
        raise ConfigurationError(f"verify: there is no CA bundle at {verify}")
    return verify


def _checked_cert(cert: str | tuple[str, str] | None) -> str | tuple[str, str] | None:
    for path in (cert,) if isinstance(cert, str) else cert or ():
        if not Path(path).exists():
            raise ConfigurationError(f"cert: there is no file at {path}")
    return cert
