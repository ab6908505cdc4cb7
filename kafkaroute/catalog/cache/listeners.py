"""Telling others what a cache found out: in order, and never under its lock."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from ...route import Route

__all__ = ["ErrorListener", "Listeners", "RouteListener", "Watchable"]

_log = logging.getLogger("kafkaroute.catalog.cache")

RouteListener: TypeAlias = Callable[[str, Route, Route], object]
ErrorListener: TypeAlias = "Callable[[str, Route, Exception | None], object]"


class Listeners:
    """Calls pile up with the cache's lock held, and are made by :meth:`deliver` without it: a
    listener, or a log handler, may well use the cache."""

    def __init__(self) -> None:
        self._route: tuple[RouteListener, ...] = ()
        self._error: tuple[ErrorListener, ...] = ()
        self.forget_pending()

    def forget_pending(self) -> None:
        self._pending: deque[Callable[[], object]] = deque()
        self._delivering = threading.Lock()

    def watch(self, listener: RouteListener) -> None:
        self._route = (*self._route, listener)

    def unwatch(self, listener: RouteListener) -> None:
        self._route = tuple(one for one in self._route if one != listener)

    def watch_errors(self, listener: ErrorListener) -> None:
        self._error = (*self._error, listener)

    def unwatch_errors(self, listener: ErrorListener) -> None:
        self._error = tuple(one for one in self._error if one != listener)

    def later(self, *calls: Callable[[], object]) -> None:
        """Make these calls at the next :meth:`deliver`."""
        self._pending.extend(calls)

    def route_changed(self, channel: str, old: Route, new: Route) -> None:
        for listener in self._route:
            self._pending.append(_call(listener, channel, old, new))

    def error_changed(self, channel: str, route: Route, error: Exception | None) -> None:
        for listener in self._error:
            self._pending.append(_call(listener, channel, route, error))

    def deliver(self) -> None:
        """Make the pending calls, one thread at a time. Another thread's delivery takes ours
        along: nobody waits for a slow listener but the thread that runs it."""
        while self._pending and self._delivering.acquire(blocking=False):
            try:
                while self._pending:
                    try:
                        self._pending.popleft()()
                    except Exception:
                        _log.exception("a listener of the route cache failed")
            finally:
                self._delivering.release()


class Watchable:
    """What others may hear of."""

    _lock: threading.Lock
    _listeners: Listeners

    def watch(self, listener: RouteListener) -> None:
        """Call ``listener(channel, old, new)`` after each change of a cached route, in order, on
        whichever thread found it; it should not wait."""
        with self._lock:
            self._listeners.watch(listener)

    def unwatch(self, listener: RouteListener) -> None:
        """Undo :meth:`watch`."""
        with self._lock:
            self._listeners.unwatch(listener)

    def watch_errors(self, listener: ErrorListener) -> None:
        """Call ``listener(channel, route, error)`` when refreshing a cached route begins to fail,
        fails in another way, or works again (`error` is None). `route` stays in use, until
        :meth:`peek` gives it no more: when it gets too old, listeners are called once again."""
        with self._lock:
            self._listeners.watch_errors(listener)

    def unwatch_errors(self, listener: ErrorListener) -> None:
        """Undo :meth:`watch_errors`."""
        with self._lock:
            self._listeners.unwatch_errors(listener)


def _call(listener: Callable[..., object], *arguments: object) -> Callable[[], object]:
    return lambda: listener(*arguments)
