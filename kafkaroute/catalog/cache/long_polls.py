"""Long polls: questions that wait in the catalog until a cached route changes (RFC 7240).

A poll is a bell and nothing else: when it says that the answer is another one, the channel is
refreshed as :meth:`RouteCache.refresh` does. So nothing that a poll does, fails to do or is late
with changes what the TTL schedule does, which goes on beside it.

A poll that ends too soon, for whatever reason (a service that knows no ``Prefer``, that restarts,
whose ETag is never twice the same, that is down), makes the next one wait: twice as long each
time, up to 300 s. The existing service sends no ETag, and is never polled.
"""

from __future__ import annotations

import os
import random
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ...channel import Channel
from ...errors import is_revoked
from ...route import Route
from .asker import Asker
from .health import Health
from .refresher import Refresher

__all__ = ["MOST_WAITING", "LongPolls"]

#: Polls at once in a process, each a thread that sleeps; with more channels they take turns.
MOST_WAITING = 16
#: Seconds (at most half the poll's own) after which a poll did not end too soon.
_PATIENT = 5.0
#: Seconds until the next poll, the second after one that brought nothing; less up to half at
#: random, and doubled with each further one that ended too soon.
_AFTER_CHANGE, _AFTER_NOTHING, _LONGEST_PAUSE = 0.5, 4.0, 300.0

_waiting = Refresher(workers=MOST_WAITING)


class _Cache(Protocol):
    def peek(self, channel: str) -> Route | None: ...

    def refresh(self, channel: str) -> None: ...


class LongPolls:
    """The polls of one cache: an owner of the refresher. Has a lock of its own, and holds it while
    calling nobody but the refresher."""

    def __init__(
        self,
        cache: _Cache,
        asker: Asker,
        seconds: float,
        refresher: Refresher,
        clock: Callable[[], float],
        rng: Callable[[], float] = random.random,
        workers: Refresher | None = None,
    ) -> None:
        self._cache = cache
        self._asker = asker
        self._seconds = seconds
        self._refresher = refresher
        self._clock = clock
        self._rng = rng
        self._workers = workers or _waiting
        self.reset()

    def reset(self) -> None:
        """Forget what is under way (in the child of a fork)."""
        self._lock = threading.Lock()
        self._ready: deque[str] = deque()
        #: Channel → how many polls in a row ended too soon. Those in here are scheduled.
        self._hasty: dict[str, int] = {}
        self._stopped = False
        self._health = Health("")

    def heed(self, health: Health) -> None:
        """Leave the catalog alone while `health` says that it cannot be had."""
        self._health = health

    def plan(self, channel: str) -> None:
        """`channel` has a route: poll for changes, unless that is so already. Never waits."""
        with self._lock:
            if self._stopped or channel in self._hasty:
                return
            self._hasty[channel] = 0
        self._refresher.schedule(self._clock(), self, channel)

    def stop(self) -> None:
        """What waits is ended by closing the catalog."""
        with self._lock:
            self._stopped = True
            self._ready.clear()
        self._refresher.forget(self)

    # --- called by the refresher ----------------------------------------------------------

    def on_due(self, key: str, due: float) -> None:
        with self._lock:
            if self._stopped:
                return
            self._ready.append(key)
        self._workers.submit(self)

    def work(self) -> None:
        with self._lock:
            if self._stopped or not self._ready:
                return
            channel = self._ready.popleft()
        pause = self._poll(channel)
        with self._lock:
            if self._stopped:
                return
            if pause is None:
                del self._hasty[channel]
                return
        self._refresher.schedule(self._clock() + pause, self, channel)

    def after_fork_in_child(self) -> None:
        """Its :class:`Rounds` does that."""

    # --- one poll -------------------------------------------------------------------------

    def _poll(self, channel: str) -> float | None:
        """Seconds until the next one; None where there is nothing to poll for before the channel's
        next refresh."""
        route = self._cache.peek(channel)
        if route is None or route.etag is None or self._health.failures:
            return None
        asked = self._clock()
        found = self._asker.changed(Channel.parse(channel), route, self._seconds)
        patient = self._clock() - asked >= min(_PATIENT, self._seconds / 2)
        # A failure that says something about the channel is a change.
        changed = found is True or (isinstance(found, Exception) and is_revoked(found))
        with self._lock:
            if self._stopped:
                return None
            times = self._hasty[channel]
            self._hasty[channel] = 0 if patient else times + 1
        if changed:
            self._cache.refresh(channel)
        elif patient and found is False:
            return 0.0
        first = _AFTER_CHANGE if changed else _AFTER_NOTHING
        # The bound keeps the power a float.
        pause = first if patient else first * 2.0 ** min(times, 20)
        return min(pause, _LONGEST_PAUSE) * (1 - self._rng() / 2)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_waiting.after_fork_in_child)
