"""A lock for an object that one thread polls and others call now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import RLock
from types import TracebackType

from ..messages import KafkaError, kafka_exception

__all__ = ["Turns"]

#: A poller steps aside for at most this many seconds for a caller that waits.
_PATIENCE = 1.0


class Turns:
    """A re-entrant lock that a looping poller cannot keep to itself.

    A plain lock is not fair: a thread that polls in a loop takes it again before a waiting thread
    wakes up (seen: 8 s for one call). The poller calls :meth:`step_aside` between its slices.

    What must not be done in the middle of a call is left for its end: a signal handler, or a callback of
    the native client, runs inside of the call that it interrupts, on the same thread.

    Attributes:
        afterwards: what is left for the end; None where nothing is.
        acquire: the lock's own, for where a call of ``__enter__`` costs too much.
    """

    __slots__ = ("_count", "_lock", "_waiting", "acquire", "afterwards")

    def __init__(self) -> None:
        self._lock = RLock()
        self.acquire = self._lock.acquire
        self.afterwards: Callable[[], None] | None = None
        self._count = RLock()  # a signal handler may come in between
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
        self.release()

    def release(self) -> None:
        """Give the turn back; the last one of this thread does what is left to do."""
        self._lock.release()
        if self.afterwards is not None and not self.mine():
            action, self.afterwards = self.afterwards, None
            action()

    def leave(self, action: Callable[[], None]) -> None:
        """Leave `action` for the end of the call that is under way on this thread."""
        self.afterwards = action

    def check_outermost(self, call: str) -> None:
        """Raises KafkaException ``_STATE`` where `call` would be made inside another one."""
        if self.mine():
            raise kafka_exception(
                KafkaError._STATE,
                f"{call}() inside another call of this Consumer: in one of its callbacks, or in a "
                "signal handler that interrupted it",
            )

    def mine(self) -> bool:
        """Whether it is this thread's turn, that is whether a call is under way on it."""
        # As threading.Condition asks; there is no public way.
        return bool(self._lock._is_owned())  # type: ignore[attr-defined]  # noqa: SLF001

    def step_aside(self) -> None:
        """Let waiting threads go first; call it without holding the lock."""
        if not self._waiting:
            return
        patience = time.monotonic() + _PATIENCE
        while self._waiting and time.monotonic() < patience:
            time.sleep(0.0002)
