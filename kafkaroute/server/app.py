"""The catalog's HTTP contract as a raw ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from ..catalog.passwords import Authenticator
from ..catalog.rules import Answer, answer
from ..catalog.rules_file import RulesFile
from ..catalog.rules_model import Rules

__all__ = ["CatalogApp"]

_log = logging.getLogger("kafkaroute.server")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: What a request may hold. Thousands of channels fit; a GET needs no body at all.
MAX_QUERY_BYTES = 32 * 1024
MAX_HEADER_BYTES = 32 * 1024
MAX_BODY_BYTES = 64 * 1024
_JSON = (b"content-type", b"application/json; charset=utf-8")
#: Answers differ by caller and hold credentials: shared caches must keep them apart.
_VARY = (b"vary", b"Authorization")


class CatalogApp:
    """Answers the catalog contract for `rules_file`; watches the file while it is served.

    Args:
        rules_file: the rules in force.
        watch_interval: seconds between two looks at the file.
        max_checks: password hashes computed at the same time (each takes 16 MiB and 40 ms).
    """

    def __init__(
        self, rules_file: RulesFile, *, watch_interval: float = 0.5, max_checks: int = 2
    ) -> None:
        self._rules_file = rules_file
        self._watch_interval = watch_interval
        self._checks = asyncio.Semaphore(max_checks)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        # Anything else (a web socket) is left unanswered, which ASGI servers refuse.

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        watcher: asyncio.Task[None] | None = None
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                watcher = asyncio.create_task(self._watch())
                await send({"type": "lifespan.startup.complete"})
            elif event["type"] == "lifespan.shutdown":
                if watcher is not None:
                    watcher.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await watcher
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._watch_interval)
            try:
                # Reading a large file takes long: not on the thread that answers.
                await asyncio.to_thread(self._rules_file.refresh)
            except Exception:
                _log.exception("looking at the rules file failed; it is tried again")

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = {}
        size = 0
        for name, value in scope["headers"]:
            size += len(name) + len(value)
            headers[name.lower()] = value
        status, body, extra = await self._respond(scope, headers, size, receive)
        _log.debug("%s %s answered %d", scope["method"], scope["path"], status)
        start = list(extra)
        if status != 304:  # which has no length of its own (RFC 9110, 8.6)
            start += [(b"content-length", b"%d" % len(body)), _JSON]
        await send({"type": "http.response.start", "status": status, "headers": start})
        await send(
            {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body}
        )

    async def _respond(
        self, scope: Message, headers: dict[bytes, bytes], size: int, receive: Receive
    ) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        if scope["method"] not in {"GET", "HEAD"}:
            return _problem(405, "Only GET is answered", (b"allow", b"GET, HEAD"))
        if size > MAX_HEADER_BYTES:
            return _problem(431, "Request header fields are too large")
        if len(scope["query_string"]) > MAX_QUERY_BYTES:
            return _problem(414, "The query is too long")
        if not await _drained(headers, receive):
            return _problem(413, "A request needs no body", (b"connection", b"close"))
        if scope["path"] == "/healthz":
            return 200, b'{"status": "ok"}', []
        rules, authenticator = self._rules_file.current
        caller: str | None = None
        if not authenticator.open_to_all:
            caller = await self._caller(headers.get(b"authorization", b""), authenticator)
            if caller is None:
                challenge = (b"www-authenticate", b'Basic realm="kafkaroute", charset="UTF-8"')
                return _problem(401, "Unauthorized", challenge)
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        return _rendered(rules, answer(rules, caller, query), headers.get(b"if-none-match"))

    async def _caller(self, header: bytes, authenticator: Authenticator) -> str | None:
        scheme, _, encoded = header.partition(b" ")
        if scheme.lower() != b"basic":
            return None
        try:
            user, colon, password = (
                b64decode(encoded.strip(), validate=True).decode().partition(":")
            )
        except (Base64Error, UnicodeDecodeError):
            return None
        if not colon:
            return None
        if authenticator.is_cheap(user, password):
            known = authenticator.check(user, password)
        else:
            async with self._checks:
                known = await asyncio.to_thread(authenticator.check, user, password)
        return user if known else None


async def _drained(headers: dict[bytes, bytes], receive: Receive) -> bool:
    """Take in the little body that a client may send with its GET; False where it is large."""
    if b"content-length" not in headers and b"transfer-encoding" not in headers:
        return True
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > MAX_BODY_BYTES:
        return False
    seen = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return True
        seen += len(event.get("body", b""))
        if seen > MAX_BODY_BYTES:
            return False
        if not event.get("more_body", False):
            return True


def _problem(
    status: int, message: str, *extra: tuple[bytes, bytes]
) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    return status, _encoded({"message": message}), list(extra)


def _encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _rendered(
    rules: Rules, result: Answer, if_none_match: bytes | None
) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    body = _encoded(result.body)
    if result.status != 200:
        return result.status, body, []
    etag = b'"%s"' % hashlib.blake2b(body, digest_size=16).hexdigest().encode()
    headers = [(b"etag", etag), _VARY]
    directives: list[str] = []
    for name, seconds in (("max-age", rules.max_age), ("stale-if-error", rules.stale_if_error)):
        if seconds is not None:
            directives.append(f"{name}={seconds:.0f}")
    if directives:
        headers.append((b"cache-control", ", ".join(("private", *directives)).encode()))
    if if_none_match is not None and _names(if_none_match, etag):
        return 304, b"", headers
    return 200, body, headers


def _names(if_none_match: bytes, etag: bytes) -> bool:
    tags: Iterable[bytes] = (tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b","))
    return any(tag in {etag, b"*"} for tag in tags)
