"""The contract's answers, rendered once and kept while they hold."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from ..rules.answer import told_answer
from ..rules.model import Rules
from ..rules.secrets.refs import secret_changes
from .http import JSON, Header, Refused, Response, problem
from .memory import ANSWER_BYTES, REFUSAL_BYTES, Table
from .stores.store import State
from .workers import Busy, Workers

__all__ = ["Answers", "Rendered", "plain_query"]

#: Answers differ by caller and hold credentials: shared caches must keep them apart.
_VARY: Header = (b"vary", b"Authorization")
_CLIENT_ID = b"client_id="
#: Seconds for which a rendered answer is used again where neither rules nor secrets change: that a
#: place is no longer told as a previous one is at most this late.
_KEPT_FOR = 60.0
_MAX_KEPT = 20_000
#: Answers made at the same time, and of them for one who asks: an expression of the rules, or of
#: their history, may need seconds for a long text.
_MAX_MADE, _MAX_MADE_EACH = 4, 2
#: Bytes of the questions that wait for it, of one who asks and of all.
_MAX_WAITING_EACH, _MAX_WAITING = 8 * 1024 * 1024, 16 * 1024 * 1024
#: Bytes of what stands for an answer beside its texts, counted by hand.
_OBJECTS = 1_500


_Key = tuple[str | None, bytes]


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

    def size(self) -> int:
        """Bytes that it takes, about: the body once more as it is sent, and what it tells."""
        told = sum(len(one.channel) + len(one.intent) + 150 for one in self.full.told)
        return 2 * len(self.full.body) + told + _OBJECTS

    def is_in(self, if_none_match: bytes) -> bool:
        if if_none_match == self.etag:
            return True
        tags: Iterable[bytes] = (
            tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b",")
        )
        return any(tag in {self.etag, b"*"} for tag in tags)


class Answers:
    """For the event loop's thread; answers are made in others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: Table[_Key, Rendered] = Table()
        self._refusals: Table[_Key, Rendered] = Table()
        self._making: dict[tuple[_Key, int], asyncio.Future[Rendered]] = {}
        self._workers = Workers(
            "kafkaroute-answers",
            _MAX_MADE,
            most_each=_MAX_WAITING_EACH,
            most=_MAX_WAITING,
            threads_each=_MAX_MADE_EACH,
        )

    async def current(
        self, state: Callable[[], State], caller: str | None, query: bytes, who: str = ""
    ) -> Rendered:
        """What `caller` is answered to the query string `query` by the rules that are in force at
        its return.

        A million clients of one caller, each with a name of its own, are one answer.

        Args:
            who: whose turn it takes: an address, where callers have no names.

        Raises:
            Refused: too many others have to be made first.
        """
        while True:
            seen = state()
            found = self.kept(seen, caller, query)
            if found is None:
                found = await self._made(seen, caller, plain_query(seen, query), who)
            if seen is state():
                return found

    async def _made(self, state: State, caller: str | None, query: bytes, who: str) -> Rendered:
        flight = ((caller, query), id(state))
        running = self._making.get(flight)
        if running is None:
            running = self._making[flight] = asyncio.ensure_future(
                self._make(state, caller, query, caller or who)
            )
            running.add_done_callback(lambda done: self._landed(flight, done))
        # The one who asked first may hang up while others wait for the same.
        return await asyncio.shield(running)

    def _landed(self, flight: tuple[_Key, int], done: asyncio.Future[Rendered]) -> None:
        del self._making[flight]
        if not done.cancelled():
            done.exception()  # seen, also where nobody waits any more: asyncio would log its text

    async def _make(self, state: State, caller: str | None, query: bytes, who: str) -> Rendered:
        until, secrets = self._clock() + _KEPT_FOR, secret_changes()
        try:
            made = await self._workers.run(
                lambda: _render(state, caller, query, secrets, until),
                who=who,
                weight=len(query) + _OBJECTS,
            )
        except Busy:
            raise Refused(
                problem(503, "Too many questions wait for an answer", (b"retry-after", b"1"))
            ) from None
        key = (caller, query)
        good = made.etag is not None
        self._refusals.pop(key)
        self._kept.pop(key)
        (self._kept if good else self._refusals).put(
            key,
            made,
            len(query) + made.size(),
            most=_MAX_KEPT,
            most_bytes=ANSWER_BYTES if good else REFUSAL_BYTES,
        )
        return made

    def kept(self, state: State, caller: str | None, query: bytes) -> Rendered | None:
        """As :meth:`current`; None where that has to be made."""
        key = (caller, plain_query(state, query))
        kept = self._kept.get(key) or self._refusals.get(key)
        if (
            kept is not None
            and kept.state is state
            and kept.secrets == secret_changes()
            and self._clock() < kept.until
        ):
            return kept
        return None


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
