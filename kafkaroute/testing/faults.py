"""How :class:`~kafkaroute.testing.catalog_stub.CatalogStub` misbehaves on request."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, Protocol

__all__ = ["Fault", "Misbehaving", "misbehave"]

#: Size of the endless answers, in bytes (a full disk image rather than a route).
HUGE = 200_000_000
#: Seconds between two bytes of a trickling answer.
TRICKLE_PAUSE = 0.05


class Fault(Enum):
    """What the stub does instead of answering. Values are for people only."""

    DOWN = "nobody listens: connection refused"
    DROP = "connection closed without an answer"
    HANG = "request read, never answered"
    HANG_MID_BODY = "half of the answer, then silence"
    TRICKLE = "the body, a byte at a time, without end"
    TRICKLE_HEADERS = "the headers, a byte at a time, without end"
    DROP_MID_BODY = "Content-Length promises more than is sent"
    NOT_HTTP = "another protocol's greeting"
    HUGE = "200 MB without a declared length"
    HUGE_DECLARED = "200 MB with a Content-Length"
    GZIP_BOMB = "200 kB that unpack to 200 MB"
    REDIRECT = "302 to another address"
    STATUS_400 = "400"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    NOT_FOUND = "404"
    TOO_MANY = "429"
    STATUS_500 = "500"
    STATUS_502 = "502"
    STATUS_503 = "503"
    STATUS_504 = "504"
    HTML = "200 with an HTML page"
    EMPTY = "200 without a body"
    EMPTY_OBJECT = "200 with {}"
    LIST = "200 with a list"
    NULL = "200 with null"
    NUMBER = "200 with a number"
    MESSAGE = "200 with an error message"
    TRUNCATED = "200 with JSON cut off"
    NESTED = "200 with an object for a value"
    DEEP = "200 with 100,000 opening brackets"
    NOT_UTF8 = "200 with bytes that are no UTF-8"


class _Stub(Protocol):
    """What faults read of the catalog's stub."""

    redirect_to: str
    retry_after: str | None

    def current_fault(self) -> Fault | None: ...


class Misbehaving(Protocol):
    """One connection of the stub, as far as faults use it."""

    close_connection: bool
    connection: socket.socket
    record: Any
    wfile: Any

    @property
    def stub(self) -> _Stub: ...

    def answer(self, status: int, body: Mapping[str, Any], head: Mapping[str, str]) -> None: ...

    def answer_bytes(self, status: int, body: bytes, head: Mapping[str, str]) -> None: ...

    def send_head(self, status: int, head: Mapping[str, str]) -> None: ...


_STATUSES: dict[Fault, tuple[int, str]] = {
    Fault.STATUS_400: (400, "config_profile and channel query parameters are required"),
    Fault.UNAUTHORIZED: (401, "Unauthorized"),
    Fault.FORBIDDEN: (403, "You cannot consume this service"),
    Fault.NOT_FOUND: (404, "No matching routing rule found"),
    Fault.TOO_MANY: (429, "API rate limit exceeded"),
    Fault.STATUS_500: (500, "An unexpected error occurred"),
    Fault.STATUS_502: (502, "An invalid response was received from the upstream server"),
    Fault.STATUS_503: (503, "Service unavailable"),
    Fault.STATUS_504: (504, "The upstream server is timing out"),
}

_BODIES: dict[Fault, bytes] = {
    Fault.EMPTY: b"",
    Fault.EMPTY_OBJECT: b"{}",
    Fault.LIST: b'[{"connection": {}}]',
    Fault.NULL: b"null",
    Fault.NUMBER: b"42",
    Fault.MESSAGE: b'{"message": "no Route matched with those values"}',
    Fault.TRUNCATED: b'{"connection": {"bootstrap.servers": "b1.example.n',
    Fault.NESTED: b'{"connection": {"bootstrap.servers": {"a": ["b1:9092"]}}, "channel_mapping": {}}',
    Fault.DEEP: b"[" * 100_000,
    Fault.NOT_UTF8: b'{"connection": "\xff\xfe"}',
}


@cache
def _bomb() -> bytes:
    member = gzip.compress(b" " * (HUGE // 20), 1)
    return member * 20  # a gzip file may be several in a row


def _trickle(handler: Misbehaving, fault: Fault) -> None:
    if fault is Fault.TRICKLE:
        handler.send_head(200, {"Content-Type": "application/json", "Content-Length": "100000"})
        piece = b" "
    else:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        piece = b"x"
    while handler.stub.current_fault() is fault:
        handler.wfile.write(piece)
        time.sleep(TRICKLE_PAUSE)


def _hang(handler: Misbehaving, fault: Fault) -> None:
    if fault is Fault.HANG_MID_BODY:
        handler.send_head(200, {"Content-Type": "application/json", "Content-Length": "1000"})
        handler.wfile.write(b'{"connection": ')
    handler.connection.settimeout(0.05)
    while handler.stub.current_fault() is fault:
        try:
            if not handler.connection.recv(1, socket.MSG_PEEK):
                return
            time.sleep(0.05)
        except TimeoutError:
            continue


def _huge(handler: Misbehaving, fault: Fault) -> None:
    head = {"Content-Type": "application/json"}
    if fault is Fault.HUGE_DECLARED:
        head["Content-Length"] = str(HUGE)
    handler.send_head(200, head)
    block = b" " * 65536
    for _ in range(HUGE // len(block) + 1):
        handler.wfile.write(block)


def _drop(handler: Misbehaving, fault: Fault) -> None:
    if fault is Fault.DROP_MID_BODY:
        handler.send_head(200, {"Content-Type": "application/json", "Content-Length": "1000"})
        handler.wfile.write(b'{"connection": {')


def _not_http(handler: Misbehaving, fault: Fault) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")


def _redirect(handler: Misbehaving, fault: Fault) -> None:
    handler.answer(302, {"message": "moved"}, {"Location": handler.stub.redirect_to})


_ACTIONS: dict[Fault, Callable[[Misbehaving, Fault], None]] = {
    Fault.TRICKLE: _trickle,
    Fault.TRICKLE_HEADERS: _trickle,
    Fault.HANG: _hang,
    Fault.HANG_MID_BODY: _hang,
    Fault.HUGE: _huge,
    Fault.HUGE_DECLARED: _huge,
    Fault.DROP: _drop,
    Fault.DROP_MID_BODY: _drop,
    Fault.DOWN: _drop,
    Fault.NOT_HTTP: _not_http,
}


def misbehave(handler: Misbehaving, fault: Fault) -> None:
    """Carry `fault` out on one request; the connection is closed after the rough ones."""
    if fault in _ACTIONS:
        handler.close_connection = True
        handler.record.status = 0
        _ACTIONS[fault](handler, fault)
    elif fault is Fault.REDIRECT:
        _redirect(handler, fault)
    elif fault in _STATUSES:
        status, message = _STATUSES[fault]
        head = {"WWW-Authenticate": 'Basic realm="service"'} if status == 401 else {}
        if status in (429, 503) and handler.stub.retry_after is not None:
            head["Retry-After"] = handler.stub.retry_after
        handler.answer(status, {"message": message}, head)
    elif fault is Fault.HTML:
        page = b"<!DOCTYPE html><html><body><h1>It works!</h1></body></html>"
        handler.answer_bytes(200, page, {"Content-Type": "text/html"})
    elif fault is Fault.GZIP_BOMB:
        head = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        handler.answer_bytes(200, _bomb(), head)
    else:
        body = _BODIES.get(fault, json.dumps({}).encode())
        handler.answer_bytes(200, body, {"Content-Type": "application/json"})
