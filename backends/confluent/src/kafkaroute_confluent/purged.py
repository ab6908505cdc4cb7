"""Reports of purged messages, put back into the order of their messages.

librdkafka keeps a partition's messages in several queues (new ones, ones about to be sent, sent
ones) and reports each queue in its order, but the queues in any order: messages 500 to 999 before
0 to 499 were seen. Nothing in such a report numbers the message; it tells only its latency.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from itertools import chain, pairwise
from typing import Any, NamedTuple

from kafkaroute.backend.contract import DeliveryCallback
from kafkaroute.messages import KafkaError

__all__ = ["InOrder"]

_PURGED = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})


class _Report(NamedTuple):
    """`earliest` and `latest` (monotonic seconds) are bounds on when the message was produced."""

    error: Any
    message: Any
    earliest: float
    latest: float


class InOrder:
    """The native default callback: passes reports on to `callback`, those of a purge in order.

    They are kept until :meth:`serve`, which comes when librdkafka has handed out all it has.
    """

    def __init__(self, callback: DeliveryCallback) -> None:
        self._callback = callback
        self._kept: list[_Report] = []
        self._sorted: deque[_Report] = deque()
        self._thread = threading.local()
        self._since = float("-inf")

    def begin(self) -> None:
        """A purge begins: reports of it come later than this."""
        self._since = time.monotonic()

    def __call__(self, error: Any, message: Any) -> None:
        if error is None or error.code() not in _PURGED:
            self._callback(error, message)
            return
        # The latency was taken after the last call here ended and before this one began.
        now = time.monotonic()
        latency = message.latency() or 0.0
        before = max(self._since, getattr(self._thread, "last", self._since))
        self._kept.append(_Report(error, message, before - latency, now - latency))
        self._thread.last = time.monotonic()

    def __len__(self) -> int:
        return len(self._kept) + len(self._sorted)

    def serve(self) -> int:
        """Pass on what is kept; returns how many reports that were. What the callback raises
        leaves this call; the reports behind it stay."""
        kept, self._kept = self._kept, []
        partitions: dict[tuple[str, int], list[_Report]] = {}
        for report in kept:
            place = (report.message.topic(), report.message.partition())
            partitions.setdefault(place, []).append(report)
        self._sorted.extend(chain.from_iterable(map(_in_order, partitions.values())))
        served = 0
        while self._sorted:
            try:
                report = self._sorted.popleft()
            except IndexError:
                break  # another thread polls, too
            served += 1
            self._callback(report.error, report.message)
        return served


def _in_order(reports: list[_Report]) -> list[_Report]:
    """Sort whole runs: inside one the order is right, and finer than the clock's."""
    runs = [[reports[0]]]
    for last, report in pairwise(reports):
        if report.latest < last.earliest:  # certainly produced before the one that it follows
            runs.append([])
        runs[-1].append(report)
    runs.sort(key=lambda run: run[0].latest)
    return list(chain.from_iterable(runs))
