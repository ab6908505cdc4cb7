"""Topics of a producer: how many partitions they have, and messages that wait to know it."""

from __future__ import annotations

import random
import time
from collections import deque
from threading import Lock
from typing import Any, NamedTuple

from kafkaroute.messages import KafkaError

from ..loose import Number
from ..partitioner import Partitioner
from .appender import Appender, Pairs, kafka_partition
from .reports import Entry, Reports, failed

__all__ = ["Topic", "Waiting"]


class Waiting(NamedTuple):
    """A message accepted before its topic's partitions were known."""

    partition: Number
    timestamp: Number
    key: bytes | None
    value: bytes | None
    headers: Pairs
    entry: Entry
    accepted_at: float


class Topic:
    """One topic. ``ready`` says that messages may go straight to the appender; it is only True
    while nothing waits, so that order is kept.

    Attributes:
        count: number of partitions, 0 while unknown.
        error: why nothing can be produced to it (it does not exist, access is denied), or None.
        wanted_at: when the first message came for it (monotonic seconds), None before.
        missing: the cluster answered that it does not know the topic.
    """

    __slots__ = (
        "_sticky",
        "_sticky_linger",
        "_sticky_until",
        "ask_again_at",
        "asked",
        "count",
        "error",
        "lock",
        "missing",
        "name",
        "partitioner",
        "partitions",
        "ready",
        "waiting",
        "wanted_at",
    )

    def __init__(self, name: str, partitioner: Partitioner, sticky_linger: float) -> None:
        self.name = name
        self.partitioner = partitioner
        self.count = 0
        self.partitions: list[Any] = []
        self.ready = False
        self.error: KafkaError | None = None
        self.asked = False
        self.ask_again_at = 0.0
        self.missing = False
        self.wanted_at: float | None = None
        self.lock = Lock()
        self.waiting: deque[Waiting] = deque()
        self._sticky_linger = sticky_linger
        self._sticky = 0
        self._sticky_until = 0.0

    def set_count(self, count: int) -> None:
        """The cluster told how many partitions there are."""
        self.partitions = [kafka_partition(self.name, number) for number in range(count)]
        self.count = count
        self.missing = False
        self.error = None

    def choose(self, key: bytes | None, now: float) -> int:
        """The partition for `key`; messages without one stay together for the sticky linger."""
        count = self.count
        partition = self.partitioner(key, count)
        if partition >= 0:
            return partition
        if now >= self._sticky_until or self._sticky >= count:
            self._sticky = random.randrange(count)
            self._sticky_until = now + self._sticky_linger
        return self._sticky

    def wait(self, message: Waiting) -> bool:
        """Queue `message` until the topic is known; False if it has become so meanwhile."""
        with self.lock:
            if self.ready:
                return False
            if self.wanted_at is None:
                self.wanted_at = message.accepted_at
            self.waiting.append(message)
            return True

    def drain(self, append: Appender, reports: Reports) -> None:
        """Hand what waits to the appender, in order, then let messages go straight there."""
        while True:
            with self.lock:
                for _ in range(min(len(self.waiting), 100)):
                    self._forward(self.waiting.popleft(), append, reports)
                if not self.waiting:
                    self.ready = True
                    return

    def _forward(self, message: Waiting, append: Appender, reports: Reports) -> None:
        number, timestamp, key, value, headers, entry, accepted_at = message
        if number < 0:
            number = self.choose(key, time.monotonic())
        if number >= self.count:
            self._fail(message, KafkaError._UNKNOWN_PARTITION, reports)
            return
        try:
            append(self.partitions[number], timestamp, key, value, headers, entry, accepted_at)
        except Exception as exc:
            from ..errors import to_kafka_error

            reports.settle(failed(self.name, number, to_kafka_error(exc)), (entry,))

    def expire(self, before: float, reports: Reports) -> None:
        """Time out what was accepted before `before` (monotonic seconds)."""
        with self.lock:
            while self.waiting and self.waiting[0].accepted_at <= before:
                self._fail(self.waiting.popleft(), KafkaError._MSG_TIMED_OUT, reports)

    def fail_all(self, error: KafkaError, reports: Reports) -> int:
        """Fail everything that waits; return how many that were."""
        with self.lock:
            return self.fail_waiting(error, reports)

    def fail_waiting(self, error: KafkaError, reports: Reports) -> int:
        """As :meth:`fail_all`, for a caller that holds the lock."""
        lost = list(self.waiting)
        self.waiting.clear()
        for message in lost:
            reports.settle(failed(self.name, message.partition, error), (message.entry,))
        return len(lost)

    def _fail(self, message: Waiting, code: int, reports: Reports) -> None:
        error = KafkaError(code)
        reports.settle(failed(self.name, message.partition, error), (message.entry,))

    def oldest(self) -> float | None:
        """When the first waiting message was accepted (monotonic seconds)."""
        waiting = self.waiting
        return waiting[0].accepted_at if waiting else None
