"""What must not be done on the event loop, done by a few threads that take fair turns."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeVar

__all__ = ["Busy", "Workers", "neighbourhood"]

T = TypeVar("T")
#: Seconds after which a thread without work ends.
_IDLE = 10.0


class Busy(Exception):
    """Too much waits already: of the one who asks, or in all."""


class _Job(NamedTuple):
    who: str
    name: str
    weight: int
    work: Callable[[], Any]
    done: Future[Any]


class _Party:
    """The jobs of one who asks, by the names that it asks under; `weight` counts running ones."""

    __slots__ = ("names", "running", "waiting", "weight")

    def __init__(self) -> None:
        self.names: OrderedDict[str, deque[_Job]] = OrderedDict()
        self.running = 0
        self.waiting = 0
        self.weight = 0


class Workers:
    """Those who ask take turns, and within one the names that it uses; so whoever asks for much
    waits behind itself alone. Where more waits than may, the newest of the one with the most gives
    way. Thread-safe.

    The threads are daemons: work that never ends does not keep the process from ending.

    Args:
        name: of the threads.
        threads: how much is done at the same time.
        most_each: weight that waits and is done for one who asks.
        most: the same of all together.
        threads_each: what is done at the same time for one who asks, where that takes long.
    """

    def __init__(
        self, name: str, threads: int, *, most_each: int, most: int, threads_each: int | None = None
    ) -> None:
        self._name = name
        self._threads = threads
        self._threads_each = threads_each or threads
        self._most_each = most_each
        self._most = most
        self._changed = threading.Condition()
        self._alive = 0
        self._idle = 0
        self._weight = 0
        self._parties: dict[str, _Party] = {}
        #: Those of them for whom something waits, the next one first.
        self._turns: OrderedDict[str, _Party] = OrderedDict()

    async def run(self, work: Callable[[], T], *, who: str, name: str = "", weight: int = 1) -> T:
        """What `work` returns or raises, done for `who`.

        Raises:
            Busy: it was not begun.
        """
        return await asyncio.wrap_future(self.begin(work, who=who, name=name, weight=weight))

    def begin(
        self, work: Callable[[], T], *, who: str, name: str = "", weight: int = 1
    ) -> Future[T]:
        """As :meth:`run`, without a wait."""
        job = _Job(who, name, weight, work, Future())
        with self._changed:
            given_up = self._give_way(job)
            if given_up is not job:
                self._add(job)
        # Outside of the lock: it calls whoever waits for it.
        if given_up is not None and given_up.done.set_running_or_notify_cancel():
            given_up.done.set_exception(Busy())
        return job.done

    def _give_way(self, job: _Job) -> _Job | None:
        """The job that is not done, so that there is room for `job`: itself, another, or none."""
        own = self._parties.get(job.who) or _Party()
        if own.weight + job.weight > self._most_each:
            largest = max(own.names, key=lambda name: len(own.names[name]), default=job.name)
            jobs = own.names.get(largest, ())
            if len(jobs) <= len(own.names.get(job.name, ())) + 1:
                return job
            return self._take_newest(job.who, own, largest)
        if self._weight + job.weight > self._most:
            who, party = max(
                self._turns.items(), key=lambda item: item[1].weight, default=("", own)
            )
            if party is own or party.weight <= own.weight + job.weight:
                return job
            largest = max(party.names, key=lambda name: len(party.names[name]))
            return self._take_newest(who, party, largest)
        return None

    def _take_newest(self, who: str, party: _Party, name: str) -> _Job:
        jobs = party.names[name]
        job = jobs.pop()
        if not jobs:
            del party.names[name]
        self._taken(who, party)
        self._finished(job)
        return job

    def _add(self, job: _Job) -> None:
        party = self._parties.setdefault(job.who, _Party())
        party.names.setdefault(job.name, deque()).append(job)
        party.waiting += 1
        party.weight += job.weight
        self._weight += job.weight
        self._turns.setdefault(job.who, party)
        if self._idle:
            self._changed.notify()
        elif self._alive < self._threads:
            self._alive += 1
            threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def _next(self) -> _Job | None:
        for who, party in self._turns.items():
            if party.running < self._threads_each:
                return self._take_first(who, party)
        return None

    def _take_first(self, who: str, party: _Party) -> _Job:
        self._turns.move_to_end(who)
        party.running += 1
        name, jobs = next(iter(party.names.items()))
        party.names.move_to_end(name)
        job = jobs.popleft()
        if not jobs:
            del party.names[name]
        self._taken(who, party)
        return job

    def _taken(self, who: str, party: _Party) -> None:
        party.waiting -= 1
        if not party.waiting:
            del self._turns[who]

    def _finished(self, job: _Job) -> None:
        self._weight -= job.weight
        party = self._parties[job.who]
        party.weight -= job.weight
        if not party.weight:
            del self._parties[job.who]

    def _work(self) -> None:
        while True:
            with self._changed:
                job = self._next()
                if job is None:
                    self._idle += 1
                    self._changed.wait(_IDLE)
                    self._idle -= 1
                    job = self._next()
                if job is None:
                    self._alive -= 1
                    return
            tell = _outcome(job)
            with self._changed:
                self._parties[job.who].running -= 1
                self._finished(job)
            tell()


def _outcome(job: _Job) -> Callable[[], None]:
    """Do it; what tells those who wait for it."""
    if not job.done.set_running_or_notify_cancel():
        return lambda: None  # nobody does any more
    try:
        found = job.work()
    except BaseException as error:  # whoever waits for it is told
        return partial(job.done.set_exception, error)
    return partial(job.done.set_result, found)


@lru_cache(maxsize=4096)
def neighbourhood(address: str) -> str:
    """Whom an address stands for: in IPv6 one host has a whole network of 64 bits."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))
