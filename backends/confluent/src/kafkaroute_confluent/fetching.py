"""Fetching several messages at once, which costs a third of as many single polls."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from time import monotonic
from typing import Any

import confluent_kafka

from kafkaroute.messages import OFFSET_INVALID, OFFSET_STORED, TopicPartition

from .messages import to_native_partition
from .nested import Serving
from .positions import GONE, Positions
from .waiting import Key, Waiting, key_of

__all__ = ["Fetching"]

#: No more is fetched ahead than so many messages, seconds of the application's work, and bytes: it
#: would be read again after a crash, or in vain when the group takes its partition away.
_MOST, _WORK, _BYTES = 128, 0.01, 4 * 1024 * 1024
#: While messages wait, librdkafka is called every so many seconds all the same, for its callbacks
#: and max.poll.interval.ms.
_UNCALLED = 0.05
#: Offsets of an assignment that leave it to the group where to start.
_NOWHERE = frozenset({OFFSET_INVALID, OFFSET_STORED})


class Fetching:
    """Calls the native consume(), and sorts out what it took before a callback inside it sought,
    paused or gave up their partitions.

    Attributes:
        until: the time.monotonic() until which what waits may be handed out without a call.
    """

    __slots__ = (
        *("_began", "_brought", "_landed", "_native", "_positions", "_size"),
        *("_serving", "_sought", "_taken", "_touched", "_waiting", "until"),
    )

    def __init__(
        self, native: Any, waiting: Waiting, positions: Positions, serving: Serving
    ) -> None:
        self._native = native
        self._waiting = waiting
        self._positions = positions
        self._serving = serving
        self.until = 0.0
        #: What the native client has given, and nobody has taken over yet.
        self._landed: list[Any] = []
        # The last fetch: when, how many messages, and the size of one in bytes.
        self._began, self._brought, self._size = 0.0, 0, 1
        # What was done to partitions since the last consume() began.
        self._touched = False
        self._taken: set[Key] = set()
        self._sought: dict[Key, TopicPartition] = {}

    def ahead(self) -> None:
        """Fetch what is there already."""
        now = monotonic()
        if now >= self._positions.due:
            self._positions.store_in_time(now)
        waiting = len(self._waiting)
        natives = self.take(1 if waiting else self._wanted(now), 0)
        if natives and not waiting:
            self._began, self._brought = now, len(natives)
            self._size = max(1, len(natives[0]), len(natives[-1]))
        self.keep(natives)
        self.until = monotonic() + _UNCALLED if waiting or natives else 0.0

    def _wanted(self, now: float) -> int:
        work = (now - self._began) / max(1, self._brought)
        wanted = min(_MOST, 1 + 4 * self._brought, int(_WORK / work), _BYTES // self._size)
        return max(1, wanted)

    def take(self, most: int, timeout: float) -> list[Any]:
        """The native consume(), less what is not to be handed out any more. What it brings is lost
        by no exception that arrives from outside (a signal's, a timer's): until :meth:`keep`, the
        next call returns it again."""
        if not self._landed:
            self._touched = False
            self._taken.clear()
            self._sought.clear()
            self._serving.call(self._land, most, timeout)
        landed = self._landed
        return self._sifted(landed) if landed and self._touched else landed

    def _land(self, most: int, timeout: float) -> None:
        # One call without Python code, which alone an exception from outside can come between.
        self._landed.extend(chain.from_iterable(map(self._native.consume, (most,), (timeout,))))

    def keep(self, natives: list[Any]) -> None:
        """What take() returned waits to be handed out."""
        if natives:
            self._waiting.add(natives)
        self._landed = []

    def taken(self, keys: set[Key]) -> None:
        """A rebalance takes these partitions."""
        self._touched = True
        self._taken |= keys

    def sought(self, partition: TopicPartition) -> None:
        """Reading of the partition goes on elsewhere."""
        self._touched = True
        self._sought[partition.topic, partition.partition] = partition

    def paused(self) -> None:
        """Some partitions were paused."""
        self._touched = True

    def placed(self, partitions: Sequence[TopicPartition]) -> None:
        """Partitions were assigned, perhaps some that a rebalance has just taken."""
        for one in partitions:
            if (one.topic, one.partition) in self._taken and one.offset not in _NOWHERE:
                self.sought(one)

    def _sifted(self, natives: list[Any]) -> list[Any]:
        assigned = self._positions.own
        again: dict[Key, TopicPartition] = {}
        for one in natives:
            key = key_of(one)
            if key in self._sought:
                again[key] = self._sought[key]
            elif key in self._taken and key in assigned:
                # It went and came back: what comes before that and what comes after look alike.
                first = again.setdefault(key, TopicPartition(*key, one.offset()))
                first.offset = min(first.offset, one.offset())
        for partition in again.values():
            self._seek(partition)
        vain = again.keys() | (self._taken - assigned)
        return self._waiting.parked([one for one in natives if key_of(one) not in vain])

    def _seek(self, partition: TopicPartition) -> None:
        self._positions.sought((partition.topic, partition.partition))
        try:
            self._native.seek(to_native_partition(partition))
        except confluent_kafka.KafkaException as error:
            if error.args[0].code() not in GONE:
                raise
