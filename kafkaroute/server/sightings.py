"""Who asked for what: noted with each answer, and shared among replicas through the store."""

from __future__ import annotations

import asyncio
import logging
import time
from itertools import islice
from urllib.parse import unquote_plus

from ..channel import Channel
from ..rules.answer import Told
from ..rules.model import plain_uri
from .http import Request, Response
from .seen import MAX_CLIENT_ID, SeenCallers, Sighting
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
        self._told: dict[_Key, tuple[int | None, float]] = {}
        self._unshared: dict[_Key, Sighting] = {}
        self._failing = False
        self._noted: dict[tuple[str | None, bytes, tuple[Told, ...]], float] = {}

    def observe(self, request: Request, response: Response) -> None:
        if not response.told:
            return
        now = time.time()
        caller = request.identity.name if request.identity is not None else None
        asked = (caller, request.query, response.told)
        if 0 <= now - self._noted.get(asked, 0.0) < _NOTED_EVERY:
            return
        if len(self._noted) >= _MAX_REMEMBERED:
            self._noted.clear()
        self._noted[asked] = now
        client_id = _client_id(request.query)
        for channel, generation, intent in response.told:
            self._seen.record(channel, caller, generation, now, client_id=client_id, intent=intent)
            if not self._store.shares_sightings:
                continue
            key = (channel, caller or "", client_id[:MAX_CLIENT_ID], intent)
            known = self._told.get(key)
            if known is None or known[0] != generation or now - known[1] >= _FRESH:
                self._note(key, Sighting(*key, generation, now))

    def _note(self, key: _Key, sighting: Sighting) -> None:
        if len(self._told) >= _MAX_REMEMBERED:
            self._told.clear()
        self._told[key] = (sighting.generation, sighting.at)
        if len(self._unshared) < _MAX_REMEMBERED:
            self._unshared[key] = sighting

    async def share(self) -> None:
        """Write to the store what is new, for ever."""
        while True:
            await asyncio.sleep(_EVERY)
            await self.flush()

    async def flush(self) -> None:
        keys = list(islice(self._unshared, _MAX_SHARED))
        if not keys:
            return
        rows = [self._unshared.pop(key) for key in keys]
        try:
            await asyncio.to_thread(self._store.share, rows)
        except Exception as error:
            if not self._failing:
                _log.warning("who asked cannot be written down (%s)", type(error).__name__)
            self._failing = True
        else:
            self._failing = False

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
