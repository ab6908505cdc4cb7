"""Long polls: requests that wait until their answer changes.

They wait in groups: all that ask the same question as the same caller are one look at the rules.
Measured: see docs/operations.md.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable

from .answers import Answers, Rendered, plain_query
from .auth.identity import RequestAuthenticator
from .http import Request, Response
from .memory import POLL_BYTES
from .stores.store import State

__all__ = ["MAX_WAIT", "LongPolls", "wanted_wait"]

#: Seconds. Load balancers cut idle connections, many after 60 s; clients ask again anyway.
MAX_WAIT = 300.0
_WAIT = re.compile(rb"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?:[,;]|$)", re.IGNORECASE)
#: Seconds of looking at rules, after which others have their turn.
_SLICE = 0.005
#: Questions looked at side by side.
_LOOKING = 4

_Key = tuple[str | None, bytes]


def wanted_wait(prefer: bytes | None) -> int | None:
    """Seconds in a ``Prefer: wait=N`` (RFC 7240), at most `MAX_WAIT`; None where there is none."""
    match = _WAIT.search(prefer) if prefer is not None else None
    return None if match is None else min(int(match.group(1)), int(MAX_WAIT))


class _Group:
    """Polls of one question that know the same answer.

    `merged`: whatever their clients are called, that made no difference when they came.
    """

    __slots__ = ("etag", "merged", "polls")

    def __init__(self, etag: bytes | None, merged: bool) -> None:
        self.etag = etag
        self.merged = merged
        self.polls: set[asyncio.Future[bool]] = set()


class LongPolls:
    """For the event loop's thread."""

    def __init__(self, answers: Answers, current: Callable[[], State | None]) -> None:
        self._answers = answers
        self._current = current
        self._groups: dict[_Key, _Group] = {}
        self._closed = False
        self._heads = 0
        self._looking: asyncio.Task[None] | None = None
        self._again = False

    def __len__(self) -> int:
        return sum(len(group.polls) for group in self._groups.values())

    async def wait(
        self,
        request: Request,
        known: Rendered,
        seconds: int,
        authenticator: RequestAuthenticator,
    ) -> Response | None:
        """The response once the answer is not `known` any more, or 304 after `seconds`.

        None: who asks is no longer allowed to.
        """
        head = len(request.query) + sum(len(n) + len(v) for n, v in request.headers.items())
        if self._heads + head > POLL_BYTES:
            return known.unchanged  # the client asks again when it always does
        self._heads += head
        try:
            return await self._wait(request, known, seconds, authenticator)
        finally:
            self._heads -= head

    async def _wait(
        self,
        request: Request,
        known: Rendered,
        seconds: int,
        authenticator: RequestAuthenticator,
    ) -> Response | None:
        assert request.identity is not None
        caller = request.identity.name
        deadline = time.monotonic() + seconds
        applied = (b"preference-applied", b"wait=%d" % seconds)
        while not self._closed:
            left = deadline - time.monotonic()
            query = plain_query(self._state(), request.query)
            if left <= 0 or not await self._changed((caller, query), known.etag, left, request):
                break
            identity = await authenticator.identify(request, self._state())
            if identity is None or identity.name != caller:
                return None
            fresh = await self._answers.current(self._state, caller, request.query, request.who)
            # Nothing is awaited from here on until the poll is in its group again.
            if fresh.etag != known.etag:
                return Response(
                    fresh.full.status,
                    fresh.full.body,
                    (*fresh.full.headers, applied),
                    fresh.full.told,
                )
        return Response(304, b"", (*known.unchanged.headers, applied), known.unchanged.told)

    def _state(self) -> State:
        state = self._current()
        assert state is not None, "rules do not vanish"
        return state

    async def _changed(
        self, key: _Key, etag: bytes | None, seconds: float, request: Request
    ) -> bool:
        """True when the answer is another, False after `seconds` or when the client is gone."""
        group = self._groups.get(key)
        if group is None or group.etag != etag:
            if group is not None:
                # The others know an older answer: theirs changed already.
                _settle(group, True)
            merged = not self._state().client_ids_matter
            group = self._groups[key] = _Group(etag, merged)
        loop = asyncio.get_running_loop()
        poll: asyncio.Future[bool] = loop.create_future()
        group.polls.add(poll)
        timer = loop.call_later(seconds, _set, poll, False)
        gone = loop.create_task(request.gone())
        gone.add_done_callback(lambda _: _set(poll, False))
        try:
            return await poll
        finally:
            timer.cancel()
            gone.cancel()
            group.polls.discard(poll)
            if not group.polls and self._groups.get(key) is group:
                del self._groups[key]

    def look(self) -> None:
        """The rules changed: find the polls whose answer is another now."""
        self._again = True
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        while self._again:
            self._again = False
            state = self._current()
            if state is None:
                return
            groups = list(self._groups.items())
            # Side by side: one whose answer takes long to make does not hold up the others.
            await asyncio.gather(*(self._look_at(groups, state) for _ in range(_LOOKING)))

    async def _look_at(self, groups: list[tuple[_Key, _Group]], state: State) -> None:
        started = time.monotonic()
        while groups and not self._again:
            (caller, query), group = groups.pop()
            if not group.polls:
                continue
            try:
                unlike = await self._unlike(group, state, caller, query)
            except Exception:
                unlike = True  # each of them finds out by itself what it is
            if unlike:
                _settle(group, True)
            if time.monotonic() - started > _SLICE:
                await asyncio.sleep(0)
                started = time.monotonic()

    async def _unlike(self, group: _Group, state: State, caller: str | None, query: bytes) -> bool:
        """Also where only the poll itself can find out."""
        if caller is not None and caller not in state.rules.callers:
            return True
        if group.merged and state.client_ids_matter:
            return True
        found = await self._answers.current(lambda: state, caller, query)
        return found.etag != group.etag

    def close(self) -> None:
        """Answer every poll now; no more are taken in."""
        self._closed = True
        for group in list(self._groups.values()):
            _settle(group, False)


def _set(poll: asyncio.Future[bool], value: bool) -> None:
    if not poll.done():
        poll.set_result(value)


def _settle(group: _Group, value: bool) -> None:
    for poll in group.polls:
        _set(poll, value)
