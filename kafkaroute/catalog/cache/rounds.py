"""When a cache's channels are refreshed, and how many at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ...route import Route
from .asker import Asker
from .health import Health
from .long_polls import LongPolls
from .refresher import Refresher

__all__ = ["Rounds"]

#: Background questions at once, while the catalog answers; one while it does not.
_MOST_QUESTIONS = 8


class _Cache(Protocol):
    def is_due(self, channel: str, due: float) -> bool: ...

    def refresh_now(self, channel: str) -> None: ...

    def after_fork_in_child(self) -> None: ...

    def peek(self, channel: str) -> Route | None: ...

    def refresh(self, channel: str) -> None: ...


class Rounds:
    """What the refresher knows of a cache. Has a lock of its own, and holds it while calling
    nobody but the refresher."""

    def __init__(
        self,
        cache: _Cache,
        refresher: Refresher,
        clock: Callable[[], float],
        asker: Asker,
        long_poll: float | None,
    ) -> None:
        self._polls = None
        if long_poll is not None and asker.can_wait:
            self._polls = LongPolls(cache, asker, long_poll, refresher, clock)
        self._cache = cache
        self._refresher = refresher
        self._clock = clock
        self.reset()
        refresher.adopt(self)

    def reset(self) -> None:
        """Forget what is ready and under way (in the child of a fork)."""
        self._lock = threading.Lock()
        self._ready: deque[str] = deque()
        self._submitted = 0
        self._running = 0
        self._stopped = False
        self._health = Health("")
        if self._polls is not None:
            self._polls.reset()

    def heed(self, health: Health) -> None:
        """Leave the catalog alone when `health` says so."""
        self._health = health
        if self._polls is not None:
            self._polls.heed(health)

    def plan(self, channel: str, due: float) -> None:
        """Refresh `channel` at `due`, if that is still its due time then."""
        self._refresher.schedule(due, self, channel)
        if self._polls is not None:
            self._polls.plan(channel)

    def stop(self) -> None:
        if self._polls is not None:
            self._polls.stop()
        with self._lock:
            self._stopped = True
            self._ready.clear()
        self._refresher.forget(self)

    # --- called by the refresher ----------------------------------------------------------

    def on_due(self, key: str, due: float) -> None:
        if key and not self._cache.is_due(key, due):
            return  # forgotten, or planned anew since
        with self._lock:
            if key:
                self._ready.append(key)
            self._dispatch()

    def work(self) -> None:
        with self._lock:
            self._submitted -= 1
            if self._stopped or not self._ready:
                return
            if self._health.is_quiet(self._clock()):
                self._refresher.schedule(self._health.quiet_until, self)
                return
            channel = self._ready.popleft()
            self._running += 1
        try:
            self._cache.refresh_now(channel)
        finally:
            with self._lock:
                self._running -= 1
                self._dispatch()

    def after_fork_in_child(self) -> None:
        self._cache.after_fork_in_child()

    def _dispatch(self) -> None:
        """Have workers do what is ready, a few at once. Lock held."""
        if self._stopped:
            return
        most = 1 if self._health.failures else _MOST_QUESTIONS
        while self._submitted < len(self._ready) and self._running + self._submitted < most:
            self._submitted += 1
            self._refresher.submit(self)
