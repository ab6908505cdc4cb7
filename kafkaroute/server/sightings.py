"""Who asked for what: noted with each answer, and shared among replicas through the store."""

from __future__ import annotations

import asyncio
import logging
import time
from urllib.parse import unquote_plus

from ..channel import Channel
from ..rules.answer import Told
from ..rules.model import plain_uri
from .http import Request, Response
from .memory import NOTED_BYTES, TOLD_BYTES, Table
from .seen import MAX_CHANNEL, MAX_CLIENT_ID, SeenCallers, Sighting
from .stores.store import RulesStore

__all__ = ["Sightings"]

_log = logging.getLogger("kafkaroute.server")
#: Seconds between two writings to the store.
_EVERY = 5.0
#: Seconds: one who asks again within them with the same generation is not written again.
_FRESH = 300.0
#: Rows written at once: 400 a second and replica at most, however many clients there are.
_MAX_SHARED = 2_000
_MAX_REMEMBERED = 100_000
#: Seconds between two lines of the log about what was lost.
_SAID_EVERY = 60.0
#: Seconds: nobody looks closer, and noting every answer would cost a tenth of the rate.
_NOTED_EVERY = 1.0

_Key = tuple[str, str, str, str]


def _client_id(query: bytes) -> str:
    """What the client calls itself; the first, as the rules see it."""
    for part in query.split(b"&"):
        if part.startswith(b"client_id="):
            return unquote_plus(part[len(b"client_id=") :].decode("latin-1"))
    return ""


class Sightings:
    """For the event loop's thread; the store is called in others."""

    def __init__(self, seen: SeenCallers, store: RulesStore) -> None:
        self._seen = seen
        self._store = store
        #: What the store has been told of, and what it has not yet.
        self._told: Table[_Key, tuple[int | None, float]] = Table()
        self._unshared: Table[_Key, Sighting] = Table()
        #: Written at once next time.
        self._batch = _MAX_SHARED
        self._failing = False
        self._lost = 0
        self._said = float("-inf")
        self._noted: Table[tuple[str | None, bytes, tuple[Told, ...]], float] = Table()

    def observe(self, request: Request, response: Response) -> None:
        if not response.told:
            return
        now = time.time()
        caller = request.identity.name if request.identity is not None else None
        asked = (caller, request.query, response.told)
        if 0 <= now - (self._noted.get(asked) or 0.0) < _NOTED_EVERY:
            return
        size = len(request.query) + sum(len(one.channel) + 150 for one in response.told)
        self._noted.put(asked, now, size, most=_MAX_REMEMBERED, most_bytes=NOTED_BYTES)
        client_id = _client_id(request.query)
        for channel, generation, intent in response.told:
            self._seen.record(channel, caller, generation, now, client_id=client_id, intent=intent)
            if not self._store.shares_sightings or len(channel) > MAX_CHANNEL:
                continue
            key = (channel, caller or "", client_id[:MAX_CLIENT_ID], intent)
            known = self._told.get(key)
            if known is None or known[0] != generation or now - known[1] >= _FRESH:
                self._wait_for_writing(Sighting(*key, generation, now))

    def _wait_for_writing(self, one: Sighting) -> None:
        self._lost += self._unshared.put(
            one[:4], one, one.size(), most=_MAX_REMEMBERED, most_bytes=TOLD_BYTES
        )

    async def share(self) -> None:
        """Write to the store what is new, for ever."""
        while True:
            await asyncio.sleep(_EVERY)
            await self.flush()

    async def flush(self) -> None:
        rows = [
            one
            for key in self._unshared.first(self._batch)
            if (one := self._unshared.pop(key)) is not None
        ]
        if not rows:
            return
        try:
            self._lost += await asyncio.to_thread(self._store.share, rows)
        except Exception as error:
            self._failed(error, rows)
        else:
            self._failing = False
            self._batch = min(2 * self._batch, _MAX_SHARED)
            for one in rows:
                written = (one.generation, one.at)
                self._told.put(
                    one[:4], written, one.size(), most=_MAX_REMEMBERED, most_bytes=TOLD_BYTES
                )
        self._say_what_is_lost()

    def _failed(self, error: Exception, rows: list[Sighting]) -> None:
        """They are tried again, fewer at once: one of them may be what fails."""
        self._batch = max(self._batch // 2, 1)
        for one in rows:
            if one[:4] not in self._unshared:  # else there is a newer one
                self._wait_for_writing(one)
        if not self._failing:
            _log.warning(
                "who asked cannot be written down (%s); it is tried again", type(error).__name__
            )
        self._failing = True

    def _say_what_is_lost(self) -> None:
        now = time.monotonic()
        if self._lost and now - self._said >= _SAID_EVERY:
            _log.warning("%d notes of who asked were not written down", self._lost)
            self._lost, self._said = 0, now

    async def recent(self, channel: Channel) -> list[Sighting]:
        """Who asked for the channel, the latest first; at all replicas where there are several."""
        uri = plain_uri(channel)
        shared: list[Sighting] = []
        if self._store.shares_sightings:
            await self.flush()
            shared = await asyncio.to_thread(self._store.sightings, uri)
        found: dict[_Key, Sighting] = {}
        for one in (*self._seen.recent(uri), *shared):
            key = (one.channel, one.caller, one.client_id, one.intent)
            if key not in found or found[key].at < one.at:
                found[key] = one
        return sorted(found.values(), key=lambda one: one.at, reverse=True)
