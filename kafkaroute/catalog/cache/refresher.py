"""One thread a process that knows when what is due, and a few that do it.

Everything that kafkaroute does in the background for catalogs goes through here: refreshing the
routes of every cache, writing snapshots. A heap of due times makes a schedule of n routes cost
O(log n) each. Workers are started when there is work and end when there is none; an owner that
wants more than one piece of work done asks again after each, so that owners take turns and a
catalog that hangs holds up nobody else.

Owners are held weakly: a cache that nobody uses any more takes its schedule with it. In the child
of a fork nothing runs until an owner is used there.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol
from weakref import ReferenceType, WeakSet, ref

__all__ = ["Owner", "Refresher", "shared_refresher"]

_log = logging.getLogger("kafkaroute.catalog.refresher")

#: Each owner bounds itself to a few.
_MOST_WORKERS = 32
#: Seconds that a thread without work waits for some before it ends.
_LINGER = 1.0


class Owner(Protocol):
    """What is scheduled. None of the calls may be made, or waits, under the owner's own lock."""

    def on_due(self, key: str, due: float) -> None:
        """Time has come: called on the one thread, must not wait for anything."""

    def work(self) -> None:
        """One piece of work: called on a worker, once for each :meth:`Refresher.submit`."""

    def after_fork_in_child(self) -> None:
        """Replace locks, forget threads. Must not start any."""


class Refresher:
    """Calls whoever is due, for all caches of the process, on one thread.

    Args:
        clock: seconds; what due times are compared with.
        threads: False starts none: :meth:`run_pending` does everything, for tests.
        workers: most of them at once, for all owners together.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        threads: bool = True,
        workers: int = _MOST_WORKERS,
    ) -> None:
        self.clock = clock
        self._most_workers = workers
        self._threads = threads
        self._owners: WeakSet[Owner] = WeakSet()
        self._order = itertools.count()
        self._heap: list[tuple[float, int, ReferenceType[Owner], str]] = []
        self._refs: dict[int, ReferenceType[Owner]] = {}
        self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._work_there = threading.Condition(threading.Lock())
        self._queue: deque[ReferenceType[Owner]] = deque()
        self._thread: threading.Thread | None = None
        self._workers = 0
        self._idle = 0

    def adopt(self, owner: Owner) -> None:
        """Tell `owner` of forks, from now on."""
        with self._changed:
            self._owners.add(owner)

    def schedule(self, due: float, owner: Owner, key: str = "") -> None:
        """Call ``owner.on_due(key, due)`` at `due`. Never waits."""
        with self._changed:
            reference = self._refs.get(id(owner))
            if reference is None or reference() is not owner:
                reference = self._refs[id(owner)] = ref(owner, self._dropped(id(owner)))
            first = not self._heap or due < self._heap[0][0]
            heapq.heappush(self._heap, (due, next(self._order), reference, key))
            if not self._threads:
                return
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="kafkaroute-refresher", daemon=True
                )
                self._thread.start()
            elif first:
                self._changed.notify()

    def _dropped(self, identity: int) -> Callable[[object], None]:
        refs = self._refs  # not self: the callback outlives nothing this way

        def drop(reference: object) -> None:
            if refs.get(identity) is reference:
                del refs[identity]

        return drop

    def forget(self, owner: Owner) -> None:
        """Drop all that is scheduled for `owner`."""
        with self._changed:
            self._heap = [item for item in self._heap if item[2]() not in (owner, None)]
            heapq.heapify(self._heap)
            self._refs.pop(id(owner), None)
            self._owners.discard(owner)
            self._changed.notify()

    def submit(self, owner: Owner) -> None:
        """Have ``owner.work()`` called once on a worker. Never waits."""
        with self._work_there:
            self._queue.append(ref(owner))
            if not self._threads:
                return
            if self._idle >= len(self._queue):
                self._work_there.notify()
            elif self._workers < self._most_workers:
                self._workers += 1
                threading.Thread(target=self._toil, name="kafkaroute-worker", daemon=True).start()

    def run_pending(self) -> None:
        """Do all that is due by now, on this thread (only with ``threads=False``)."""
        while True:
            if self._queue:
                owner = self._queue.popleft()()
                if owner is not None:
                    owner.work()
            elif self._heap and self._heap[0][0] <= self.clock():
                self._call(heapq.heappop(self._heap))
            else:
                return

    def next_due(self) -> float | None:
        """The earliest due time."""
        with self._changed:
            return self._heap[0][0] if self._heap else None

    def running(self) -> bool:
        """Whether the scheduling thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    def after_fork_in_child(self) -> None:
        owners = list(self._owners)
        self._heap, self._refs = [], {}
        self._reset()
        for owner in owners:
            owner.after_fork_in_child()

    # --- threads --------------------------------------------------------------------------

    def _call(self, item: tuple[float, int, ReferenceType[Owner], str]) -> None:
        due, _, reference, key = item
        owner = reference()
        if owner is None:
            return
        try:
            owner.on_due(key, due)
        except Exception:
            _log.exception("scheduling failed for %s", type(owner).__name__)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._heap or self._heap[0][0] > self.clock():
                    wait = self._heap[0][0] - self.clock() if self._heap else _LINGER
                    # A bound, as some systems refuse to wait for more than some weeks.
                    noticed = self._changed.wait(min(wait, 3600.0))
                    if not self._heap and not noticed:
                        self._thread = None
                        return
                item = heapq.heappop(self._heap)
            self._call(item)

    def _toil(self) -> None:
        while True:
            with self._work_there:
                while not self._queue:
                    self._idle += 1
                    noticed = self._work_there.wait(_LINGER)
                    self._idle -= 1
                    if not self._queue and not noticed:
                        self._workers -= 1
                        return
                owner = self._queue.popleft()()
            if owner is None:
                continue
            try:
                owner.work()
            except Exception:
                _log.exception("background work failed for %s", type(owner).__name__)
            # Else the last worker would keep a dropped cache alive while it lingers.
            del owner


_shared = Refresher()


def shared_refresher() -> Refresher:
    """The process's own."""
    return _shared


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.after_fork_in_child)
