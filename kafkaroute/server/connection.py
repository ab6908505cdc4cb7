"""The service's side of a TCP connection: uvicorn's, with limits in time and size, the client
certificate of TLS as ASGI's TLS extension, and answers that need no task of their own."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
from collections.abc import Callable
from math import inf
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from .http import MAX_HEADER_BYTES, Header, Request, Response
from .rare_warnings import Rarely

__all__ = ["HEAD_TIMEOUT", "AtOnce", "served_by"]

#: Answers a GET without a body where that takes no waiting; else None, and ASGI's way is gone.
AtOnce = Callable[[Request], Response | None]

#: Seconds for the whole head of a request. uvicorn lets a half-sent one stand for ever.
HEAD_TIMEOUT = 10.0
#: Above it a head is no HTTP; up to it the application tells what is wrong.
_MAX_HEAD_BYTES = 2 * MAX_HEADER_BYTES
#: Pipelined requests answered at once; the others go ASGI's way, so that one connection neither
#: holds up all others nor fills the memory with answers that it does not read.
_MAX_AT_ONCE = 16
#: Paths that need no decoding; with these headers there is more to do.
_PLAIN_PATH = re.compile(rb"/[\w.-]*")
_SLOW = frozenset((b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"prefer"))
#: A stranger's malformed request is worth a warning, and a flood of them is not worth a flood.
_log = Rarely(logging.getLogger("uvicorn.error"))


class _Connection(HttpToolsProtocol):
    """Hangs up on a client that takes long to ask or asks too much, and adds
    ``scope["extensions"]["tls"]`` where the client showed a certificate (uvicorn verifies it, but
    does not pass it on)."""

    head_timeout: ClassVar[float] = HEAD_TIMEOUT
    #: One at most: a bare function would become a method.
    quick: ClassVar[tuple[AtOnce, ...]] = ()
    #: The headers that uvicorn adds to every answer, and how they are written.
    _common: ClassVar[tuple[list[Header], bytes]] = ([], b"")

    #: The time of the loop at which the connection is closed unless an answer is being made, and
    #: the one timer that looks at it: setting a new one for each request would cost a tenth.
    _due = inf
    _timer: asyncio.TimerHandle | None = None
    _timer_at = inf
    #: The client has begun to ask and has not finished.
    _asking = True
    _in_head = False
    #: The head as far as it was read, and what came of it beyond the first piece.
    _named: dict[bytes, bytes]
    _head_size = 0
    _head_late = 0
    _answered = False
    _left_at_once = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.logger = _log  # type: ignore[assignment]  # all that uvicorn uses of one
        super().connection_made(transport)  # type: ignore[arg-type]  # it is a Transport
        self._hang_up_in(self.head_timeout)
        connection = transport.get_extra_info("ssl_object")
        der = connection.getpeercert(binary_form=True) if connection is not None else None
        if der:
            self.app = _adding(self.app, ssl.DER_cert_to_PEM_cert(der))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        unfinished = self._in_head
        self._left_at_once = _MAX_AT_ONCE
        super().data_received(data)
        if unfinished and self._in_head:
            self._head_late += len(data)
            if self._head_late > _MAX_HEAD_BYTES:
                self.send_400_response("The head of the request is too large")
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._due = inf
        elif not self._asking and (self._in_head or self._left_at_once == _MAX_AT_ONCE):
            # From the first byte on, however slowly the others come.
            self._asking = True
            self._hang_up_in(self.head_timeout)

    # What the parser calls. An error that one of these raises is answered 400.

    def on_message_begin(self) -> None:
        self._in_head = True
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._named = {}
        self._head_size = self._head_late = 0

    def on_url(self, url: bytes) -> None:
        self._head_size += len(url)
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # A trailer: whoever wrote the head (a proxy) has not vouched for it.
        self._head_size += len(name) + len(value)
        if self._head_size > _MAX_HEAD_BYTES:
            raise ValueError("the head is too large")
        name = name.lower()
        if name == b"host" and name in self._named:
            raise ValueError("two hosts")
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self._named[name] = value
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        if b"host" not in self._named and self.parser.get_http_version() == "1.1":
            raise ValueError("no host")
        if self.quick and self._answer_at_once():
            self._answered = True
            return
        self._begin_scope()
        super().on_headers_complete()
        if self.parser.should_upgrade():
            # Nothing is upgraded to, and the parser reads no further.
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        if self._answered:
            self._answered = False
        else:
            super().on_message_complete()

    def _begin_scope(self) -> None:
        """What uvicorn does when a request begins, here only once it is needed."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers

    def on_response_complete(self) -> None:
        if self.pipeline:
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self._asking = False
            self._hang_up_in(self.timeout_keep_alive)

    def _answer_at_once(self) -> bool:
        """True where the request is answered already: nothing is left to wait for."""
        cycle, named = self.cycle, self._named
        if (
            self._left_at_once <= 0
            or (cycle is not None and not cycle.response_complete)
            or self.flow.write_paused
            or self._head_size > MAX_HEADER_BYTES
            or self.parser.get_method() != b"GET"
            or not _SLOW.isdisjoint(named)
            or not self.parser.should_keep_alive()
            or (b"connection" in named and self.parser.get_http_version() != "1.1")
            or self.transport.is_closing()
        ):
            return False
        path, _, query = self.url.partition(b"?")
        if b"#" in query or _PLAIN_PATH.fullmatch(path) is None:
            return False
        scope = {
            "method": "GET",
            "path": path.decode(),
            "query_string": query,
            "headers": self.headers,
            "client": self.client,
        }
        response = self.quick[0](Request(scope, _receives_nothing, named))
        if response is None:
            return False
        self._left_at_once -= 1
        common = self.server_state.default_headers
        seen, lines = self._common
        if seen is not common:
            lines = b"".join(b"%s: %s\r\n" % header for header in common)
            _Connection._common = (common, lines)
        status = STATUS_LINE[response.status]
        self.transport.write(b"".join((status, lines, response.on_the_wire())))
        self.on_response_complete()
        return True

    def _unsupported_upgrade_warning(self) -> None:
        """Whoever likes may ask for one; that is nothing to tell."""

    def send_400_response(self, msg: str) -> None:
        """What cannot be read as HTTP is told in the contract's form, too."""
        body = json.dumps({"message": msg}).encode()
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json; charset=utf-8\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(body), body)
        )
        self.transport.close()

    def _hang_up_in(self, seconds: float) -> None:
        self._due = due = self.loop.time() + seconds
        if self._timer is None or due < self._timer_at:
            self._set_timer(due)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self.loop.call_at(at, self._look_at_time)

    def _look_at_time(self) -> None:
        self._timer = None
        if self._due <= self.loop.time():
            self.transport.close()
        elif self._due != inf:
            self._set_timer(self._due)


def served_by(
    app: Any, *, head_timeout: float = HEAD_TIMEOUT, at_once: AtOnce | None = None
) -> dict[str, Any]:
    """The arguments of ``uvicorn.Config`` with which the service is served.

    Args:
        app: what answers, a :class:`~kafkaroute.server.app.CatalogApp`.
        head_timeout: seconds for the head of a request.
        at_once: tried before; the application's own where it is None.
    """
    quick = at_once if at_once is not None else getattr(app, "at_once", None)

    class Connection(_Connection):
        pass

    Connection.head_timeout = head_timeout
    Connection.quick = (quick,) if quick is not None else ()
    return {
        "app": app,
        "loop": "kafkaroute.server.loops:new_loop",
        "lifespan": "on",
        "http": Connection,
        "ws": "none",
        # The peer's address proves which proxy's headers are believed: nobody may write another.
        "proxy_headers": False,
        "log_config": None,
        "access_log": False,  # it would write whole query strings
        "server_header": False,
        "timeout_graceful_shutdown": 5,
    }


async def _receives_nothing() -> Any:
    raise AssertionError("what is answered at once has no body and is not waited for")


def _adding(app: Any, certificate: str) -> Any:
    tls = {"client_cert_chain": (certificate,)}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("extensions", {})["tls"] = tls
        await app(scope, receive, send)

    return application
