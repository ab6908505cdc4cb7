"""The contract's answers, rendered once and kept while they hold."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from ..rules.answer import told_answer
from ..rules.model import Rules
from ..rules.secrets.refs import secret_changes
from .http import JSON, Header, Identity, Request, Response
from .stores.store import State

__all__ = ["Answers", "Rendered", "plain_query"]

#: Answers differ by caller and hold credentials: shared caches must keep them apart.
_VARY: Header = (b"vary", b"Authorization")
_CLIENT_ID = b"client_id="
#: Seconds for which a rendered answer is used again where neither rules nor secrets change: that a
#: place is no longer told as a previous one is at most this late.
_KEPT_FOR = 60.0
#: About 3 KB each.
_MAX_KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Rendered:
    """An answer; `etag` is None where it is no 200."""

    etag: bytes | None
    full: Response
    unchanged: Response
    state: State
    secrets: int
    until: float

    def for_request(self, if_none_match: bytes | None) -> Response:
        """The whole answer, or 304 where the client has it."""
        if if_none_match is None or self.etag is None or not self.is_in(if_none_match):
            return self.full
        return self.unchanged

    def is_in(self, if_none_match: bytes) -> bool:
        if if_none_match == self.etag:
            return True
        tags: Iterable[bytes] = (
            tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b",")
        )
        return any(tag in {self.etag, b"*"} for tag in tags)


class Answers:
    """For the event loop's thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[tuple[str | None, bytes], Rendered] = {}

    def rendered(self, state: State, caller: str | None, query: bytes) -> Rendered:
        """What `caller` is answered to the query string `query`.

        A million clients of one caller, each with a name of its own, are one answer.
        """
        kept = self.kept(state, caller, query)
        if kept is not None:
            return kept
        query = plain_query(state, query)
        key = (caller, query)
        until = self._clock() + _KEPT_FOR
        self._kept.pop(key, None)
        made = self._kept[key] = _render(state, caller, query, secret_changes(), until)
        if len(self._kept) > _MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        return made

    def kept(self, state: State, caller: str | None, query: bytes) -> Rendered | None:
        """As :meth:`rendered`; None where that has to be made."""
        kept = self._kept.get((caller, plain_query(state, query)))
        if (
            kept is not None
            and kept.state is state
            and kept.secrets == secret_changes()
            and self._clock() < kept.until
        ):
            return kept
        return None

    def respond(self, state: State, identity: Identity, request: Request) -> Response:
        found = self.rendered(state, identity.name, request.query)
        return found.for_request(request.headers.get(b"if-none-match"))


def plain_query(state: State, query: bytes) -> bytes:
    """`query` without what makes no difference to the answer."""
    if state.client_ids_matter or _CLIENT_ID not in query:
        return query
    return b"&".join(part for part in query.split(b"&") if not part.startswith(_CLIENT_ID))


def _render(state: State, caller: str | None, query: bytes, secrets: int, until: float) -> Rendered:
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    result, told = told_answer(state.rules, caller, pairs, state.history)
    body = json.dumps(result.body, ensure_ascii=False, separators=(",", ":")).encode()
    if result.status != 200:
        full = Response(result.status, body)
        return Rendered(None, full, full, state, secrets, until)
    etag = b'"%s"' % hashlib.blake2b(body, digest_size=16).hexdigest().encode()
    headers = ((b"etag", etag), _VARY, *_cache_control(state.rules))
    return Rendered(
        etag,
        Response(200, body, (JSON, *headers), told),
        Response(304, b"", headers, told),
        state,
        secrets,
        until,
    )


def _cache_control(rules: Rules) -> Iterable[Header]:
    directives = [
        f"{name}={seconds:.0f}"
        for name, seconds in (("max-age", rules.max_age), ("stale-if-error", rules.stale_if_error))
        if seconds is not None
    ]
    if directives:
        yield (b"cache-control", ", ".join(("private", *directives)).encode())
