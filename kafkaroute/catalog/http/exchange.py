"""One HTTP request and its answer, read whole: bounded in time and size, no redirects followed.

Decisions:

- Proxies are taken from the environment, as they say how to reach things; so is a CA bundle named
  by ``REQUESTS_CA_BUNDLE`` or ``CURL_CA_BUNDLE``, when ``verify`` is not set.
- Texts of exceptions name the peer and what went wrong, never what it answered: an answer may
  hold secrets.
"""

from __future__ import annotations

import os
import threading
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import requests
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from ...errors import CatalogUnavailable, ConfigurationError
from .http_errors import Again, failed
from .transport import AnswerTooLarge, BoundedSession, bounded

__all__ = ["MAX_ANSWER_BYTES", "HttpClient", "Peer", "Reply", "Unreadable"]

#: An answer for one channel is some kilobytes; the bound keeps a wrong address from filling memory.
MAX_ANSWER_BYTES = 1 << 20
#: Room for headers and chunk framing below HTTP.
_FRAMING_BYTES = 1 << 18
#: Connections kept open: the refresher's workers, long polls and some application threads.
_POOL_SIZE = 32


class Unreadable(Exception):
    """An answer came that is none; `what` says why, and nothing of what it holds."""

    def __init__(self, what: str) -> None:
        self.what = what


class Reply(NamedTuple):
    """An answer. The body of a redirect is not read."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def redirects(self) -> bool:
        return 300 <= self.status < 400 and self.status != 304


class Peer:
    """Who is asked.

    Args:
        name: for texts, such as ``catalog https://…``.
        address: its URL, without user information.
    """

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.proxies = get_environ_proxies(address)


class HttpClient:
    """Thread-safe, keeps connections open, and opens its own in the child of a fork.

    Args:
        verify: as ``Settings.verify``.
        cert: as ``Settings.cert``.

    Raises:
        ConfigurationError: a certificate file that is not there.
    """

    def __init__(self, verify: bool | str, cert: str | tuple[str, str] | None) -> None:
        self.verify = _ca_bundle(verify)
        self.cert = _checked_cert(cert)
        self._sessions: dict[int, BoundedSession] = {}
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()
        session = self._sessions.pop(os.getpid(), None)
        if session is not None:
            session.close()

    def _session(self, peer: Peer) -> BoundedSession:
        if self.closed.is_set():
            raise CatalogUnavailable(f"the client of {peer.name} is closed")
        # By process: connections of the parent must not be used (nor shut down) by a child.
        session = self._sessions.get(os.getpid())
        if session is None:
            session = self._sessions.setdefault(os.getpid(), BoundedSession(_POOL_SIZE))
        return session

    def send(
        self,
        peer: Peer,
        url: str,
        headers: Mapping[str, str],
        deadline: float,
        form: bytes | None = None,
        *,
        breakable: bool = False,
    ) -> Reply:
        """GET `url` of `peer`, or POST `form` to it, until `deadline` (time.monotonic()); where it
        is `breakable`, close() ends the waiting for the answer.

        Raises:
            Again: no answer, though another try may have one.
            CatalogUnavailable: no answer in time, or none to be had.
            Unreadable: too large, or in an unknown or broken coding.
        """
        left = deadline - time.monotonic()
        if left <= 0:
            raise CatalogUnavailable(f"{peer.name} did not answer in time")
        method = "GET" if form is None else "POST"
        request = requests.Request(method, peer.address, headers=dict(headers), data=form).prepare()
        request.url = url  # exactly as written
        session = self._session(peer)
        try:
            receiving = session.receiving if breakable else None
            with bounded(deadline, MAX_ANSWER_BYTES + _FRAMING_BYTES, receiving):
                response = session.send(
                    request,
                    stream=True,
                    allow_redirects=False,
                    timeout=(left, left),
                    verify=self.verify,
                    cert=self.cert,
                    proxies=peer.proxies,
                )
                try:
                    return _read(peer, response)
                finally:
                    response.close()
        except AnswerTooLarge:
            raise Unreadable("it is larger than 1 MiB") from None
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            # `from None`: requests' texts hold the whole URL, proxy passwords included.
            raise failed(peer.name, error) from None


def _read(peer: Peer, response: requests.Response) -> Reply:
    reply = Reply(response.status_code, response.headers, b"")
    return reply if reply.redirects else reply._replace(body=_body(peer, response))


def _body(peer: Peer, response: requests.Response) -> bytes:
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
    # An answer without a body (304) may tell how long one would be.
    if response.status_code != 304 and declared.isdigit() and size < int(declared):
        raise Again(CatalogUnavailable(f"{peer.name} broke off its answer"))
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding in ("", "identity") or not body:
        return body
    # Not asked for, but some gateways compress all the same.
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise Unreadable("its Content-Encoding is unknown")
    unpacker = zlib.decompressobj(47 if coding != "deflate" else 15)
    try:
        unpacked = unpacker.decompress(body, MAX_ANSWER_BYTES + 1)
    except zlib.error:
        raise Unreadable(f"it cannot be unpacked ({coding})") from None
    if len(unpacked) > MAX_ANSWER_BYTES:
        raise AnswerTooLarge
    return unpacked


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
