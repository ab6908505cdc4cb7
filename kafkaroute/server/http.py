"""A request and a response as the handlers see them, and the limits that hold for every request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from ..rules.answer import Told
from .workers import neighbourhood

__all__ = [
    "JSON",
    "MAX_BODY_BYTES",
    "MAX_HEADER_BYTES",
    "MAX_QUERY_BYTES",
    "Header",
    "Identity",
    "Message",
    "Receive",
    "Refused",
    "Request",
    "Response",
    "Send",
    "answered",
    "problem",
]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

#: What a request may hold. Thousands of channels fit; a GET needs no body at all.
MAX_QUERY_BYTES = 32 * 1024
MAX_HEADER_BYTES = 32 * 1024
MAX_BODY_BYTES = 64 * 1024
#: Seconds for a body of that size.
BODY_TIMEOUT = 10.0
JSON: Header = (b"content-type", b"application/json; charset=utf-8")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks.

    Attributes:
        name: the caller's name in the rules; None where the rules name no callers.
        admin: may change where channels live.
    """

    name: str | None = None
    admin: bool = False


@dataclass(slots=True)
class Response:
    """What is answered. One that is kept is answered many times, but to one caller only.

    `told`: what it says about which channels, for those who observe answers.
    """

    status: int
    body: bytes = b""
    headers: tuple[Header, ...] = (JSON,)
    told: tuple[Told, ...] = ()
    _sent: list[Header] | None = None
    _wire: bytes | None = None

    def sent_headers(self) -> list[Header]:
        """With the length, except for a 304, which has none of its own (RFC 9110, 8.6)."""
        if self._sent is None:
            self._sent = list(self.headers)
            if self.status != 304:
                self._sent.append((b"content-length", b"%d" % len(self.body)))
        return self._sent

    def on_the_wire(self) -> bytes:
        """What follows the status line and the headers that every answer has, to a GET."""
        if self._wire is None:
            lines = b"".join(b"%s: %s\r\n" % header for header in self.sent_headers())
            self._wire = b"%s\r\n%s" % (lines, self.body)
        return self._wire


class Refused(Exception):
    """Ends the handling of a request with `response`."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class Request:
    """One HTTP request.

    Attributes:
        method, path: as sent; `method` in capitals.
        query: the query string, undecoded.
        headers: by lower-case name; of a repeated one the last.
        scope: ASGI's, for what is rarely needed (the peer, its certificate).
        identity: who asks, once that is known.
        body: once :meth:`read_body` has returned it.
        notes: what the handler did, for the audit log; no secrets.
    """

    __slots__ = (
        "_receive",
        "body",
        "headers",
        "identity",
        "method",
        "notes",
        "path",
        "query",
        "scope",
    )

    def __init__(
        self, scope: Message, receive: Receive, headers: dict[bytes, bytes] | None = None
    ) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.identity: Identity | None = None
        self.body = b""
        self.notes: dict[str, object] = {}
        self._receive = receive
        if headers is None:
            headers = {name.lower(): value for name, value in scope["headers"]}
        self.headers = headers

    @property
    def who(self) -> str:
        """Whose turn it takes where there is much to do: the peer's address, or its network."""
        client = self.scope.get("client")
        return neighbourhood(client[0]) if client else ""

    def check_size(self) -> None:
        """Raises Refused where the head is larger than a request's may be."""
        size = sum(len(name) + len(value) for name, value in self.scope["headers"])
        if size > MAX_HEADER_BYTES:
            raise Refused(problem(431, "Request header fields are too large"))
        if len(self.query) > MAX_QUERY_BYTES:
            raise Refused(problem(414, "The query is too long"))

    def identified(self, identity: Identity) -> None:
        """It is known who asks."""
        self.identity = identity

    async def read_body(self, limit: int = MAX_BODY_BYTES) -> bytes:
        """The whole body.

        Raises:
            Refused: it is larger than `limit` bytes, or takes longer than `BODY_TIMEOUT`.
        """
        headers = self.headers
        if b"content-length" not in headers and b"transfer-encoding" not in headers:
            return b""
        length = headers.get(b"content-length", b"0")
        too_large = problem(413, f"A body has at most {limit} bytes", (b"connection", b"close"))
        if not length.isdigit() or int(length) > limit:
            raise Refused(too_large)
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                body = await self._whole_body(limit)
        except TimeoutError:
            late = problem(408, "The body did not come in time", (b"connection", b"close"))
            raise Refused(late) from None
        if len(body) > limit:
            raise Refused(too_large)
        self.body = body
        return body

    async def _whole_body(self, limit: int) -> bytes:
        """Stops soon after `limit`."""
        parts: list[bytes] = []
        seen = 0
        while seen <= limit:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                break
            part = event.get("body", b"")
            parts.append(part)
            seen += len(part)
            if not event.get("more_body", False):
                break
        return b"".join(parts)

    def check_origin(self) -> None:
        """Refuse a change that another site's page makes in the browser of somebody who is logged
        in here: what its forms can send is no JSON, and browsers tell that it is cross-site.

        Raises:
            Refused: it may be one.
        """
        kind = self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise Refused(problem(415, "The body must be application/json"))
        if self.headers.get(b"sec-fetch-site", b"none") not in {b"none", b"same-origin"}:
            raise Refused(problem(403, "A page of another site may not do this"))

    async def gone(self) -> None:
        """Return when the client has hung up; for after the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            continue


def answered(status: int, body: object, *headers: Header, told: tuple[Told, ...] = ()) -> Response:
    """`body` as JSON."""
    encoded = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, encoded, (JSON, *headers), told)


def problem(status: int, message: str, *headers: Header) -> Response:
    """An error, in the contract's form."""
    return answered(status, {"message": message}, *headers)
