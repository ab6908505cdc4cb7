"""A lock for an object that one thread polls and others call now and then."""

from __future__ import annotations

import time
from threading import Lock, RLock
from types import TracebackType

__all__ = ["Turns"]

#: A poller steps aside for at most this many seconds for a caller that waits.
_PATIENCE = 1.0


class Turns:
    """A re-entrant lock that a looping poller cannot keep to itself.

    A plain lock is not fair: a thread that polls in a loop takes it again before a waiting thread
    wakes up (seen: 8 s for one call). The poller calls :meth:`step_aside` between its slices.

    Attributes:
        acquire, release: the lock's own, for where a call of ``__enter__`` costs too much.
    """

    __slots__ = ("_count", "_lock", "_waiting", "acquire", "release")

    def __init__(self) -> None:
        self._lock = RLock()
        self.acquire = self._lock.acquire
        self.release = self._lock.release
        self._count = Lock()
        self._waiting = 0

    def __enter__(self) -> None:
        if self._lock.acquire(blocking=False):
            return
        with self._count:
            self._waiting += 1
        try:
            self._lock.acquire()
        finally:
            with self._count:
                self._waiting -= 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def step_aside(self) -> None:
        """Let waiting threads go first; call it without holding the lock."""
        if not self._waiting:
            return
        patience = time.monotonic() + _PATIENCE
        while self._waiting and time.monotonic() < patience:
            time.sleep(0.0002)
