"""requests with a total deadline and a bound on what is received.

requests' timeouts bound one socket operation each: a server that sends a byte a second keeps a
caller for ever, in the headers as well as in the body, and so do a slow name server and a host
with many dead addresses. Here every wait of one exchange - name look-up, connect, TLS handshake,
each single receive - gets what is left of one deadline, and received bytes are counted below HTTP,
so that no framing trick (an endless header, chunk line or body) gets past the limit.

Through a SOCKS proxy, or TLS to a proxy inside TLS, only requests' own timeouts hold.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["AnswerTooLarge", "BoundedSession", "bounded"]


class AnswerTooLarge(Exception):  # not an OSError: urllib3 must not wrap it
    """More was received than the exchange may receive."""


class Receiving:
    """Sockets that threads wait on, for another thread to end the waiting. Of one process: a child
    must not shut down what its parent waits on."""

    def __init__(self) -> None:
        self._sockets: set[socket.socket] = set()
        self._ended = False

    @contextmanager
    def on(self, sock: socket.socket) -> Iterator[None]:
        """Raises ConnectionAbortedError after :meth:`end`."""
        self._sockets.add(sock)
        try:
            # Looked at after the socket is in the set, so that end() misses none.
            if self._ended:
                raise ConnectionAbortedError("closed")
            yield
        finally:
            self._sockets.discard(sock)

    def end(self) -> None:
        """Every wait ends now, and no other begins."""
        self._ended = True
        for sock in self._sockets.copy():
            with suppress(OSError):
                # Not SSLSocket's own, which takes its state away from the thread that reads.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _Exchange(threading.local):
    """What the exchange of this thread may still use; reached from below urllib3."""

    deadline: float | None = None
    bytes_left: int = 0
    receiving: Receiving | None = None


_exchange = _Exchange()


@contextmanager
def bounded(deadline: float, max_bytes: int, receiving: Receiving | None = None) -> Iterator[None]:
    """Bound all HTTP of this thread: until `deadline` (time.monotonic()), up to `max_bytes`; with
    `receiving`, until that is ended."""
    _exchange.deadline, _exchange.bytes_left = deadline, max_bytes
    _exchange.receiving = receiving
    try:
        yield
    finally:
        _exchange.deadline = _exchange.receiving = None


def _time_left() -> float | None:
    """Seconds; None where nothing bounds this thread. Raises TimeoutError when time is up."""
    if _exchange.deadline is None:
        return None
    left = _exchange.deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline has passed")
    return left


class _BoundedReader(io.RawIOBase):
    """Reads a socket; every receive gets what is left of the deadline."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._socket = sock
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        left = _time_left()
        if left is not None:
            self._socket.settimeout(left)
        receiving = _exchange.receiving
        with receiving.on(self._socket) if receiving is not None else nullcontext():
            count = cast("Any", self._raw).readinto(buffer)
        if left is not None and count:
            _exchange.bytes_left -= count
            if _exchange.bytes_left < 0:
                raise AnswerTooLarge
        return cast("int | None", count)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        if isinstance(sock, socket.socket):
            raw = self.fp.detach()
            self.fp = io.BufferedReader(_BoundedReader(sock, raw))


def _addresses(host: str, port: int) -> list[tuple[Any, ...]]:
    """getaddrinfo() within the deadline: the system's resolver has no timeout of its own."""
    kind = socket.SOCK_STREAM
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    else:
        return list(socket.getaddrinfo(host, port, type=kind))
    found: list[tuple[Any, ...]] = []
    failed: list[OSError] = []

    def ask() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, type=kind))
        except (OSError, UnicodeError) as error:
            failed.append(error if isinstance(error, OSError) else socket.gaierror(str(error)))

    thread = threading.Thread(target=ask, name="kafkaroute-resolve", daemon=True)
    thread.start()
    thread.join(_time_left())
    if failed:
        raise failed[0]
    if thread.is_alive() or not found:
        raise TimeoutError("the host name was not resolved in time")
    return found


def _connected(host: str, port: int, options: Any) -> socket.socket:
    """A connection to the first address that takes one, the time shared between them."""
    addresses = _addresses(host.strip("[]"), port)
    last: OSError = OSError("no address")
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        left = _time_left()
        sock = socket.socket(family, kind, protocol)
        try:
            for option in options or ():
                sock.setsockopt(*option)
            sock.settimeout(None if left is None else left / (len(addresses) - number))
            sock.connect(address)
            sock.settimeout(_time_left())
        except OSError as error:
            sock.close()
            last = error
        else:
            return sock
    raise last


class _Bounded:
    """Mixed into urllib3's connections."""

    def _new_conn(self) -> socket.socket:
        conn = cast("Any", self)
        try:
            return _connected(conn._dns_host, conn.port, conn.socket_options)  # noqa: SLF001  # as its own
        except TimeoutError as error:
            raise ConnectTimeoutError(conn, "connecting took too long") from error
        except OSError as error:
            raise NewConnectionError(conn, str(error)) from error


class _HTTPConnection(_Bounded, HTTPConnection):
    response_class = _Response


class _HTTPSConnection(_Bounded, HTTPSConnection):
    response_class = _Response


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection

    def _validate_conn(self, conn: Any) -> None:
        # As urllib3's, less its warning on each request: HttpCatalog warns once of verify=False.
        if conn.sock is None:
            conn.connect()


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        cast("Any", self).poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager


class BoundedSession(requests.Session):
    """Keep-alive, thread-safe as used here: no cookies, no redirects, nothing from .netrc."""

    def __init__(self, pool_size: int) -> None:
        super().__init__()
        self.receiving = Receiving()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for prefix in ("http://", "https://"):
            self.mount(prefix, _Adapter(pool_connections=4, pool_maxsize=pool_size))

    def close(self) -> None:
        self.receiving.end()
        super().close()

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Never: requests would read the whole body of a redirect to find its next address."""
        return
