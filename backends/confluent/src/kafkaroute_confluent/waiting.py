"""Messages that librdkafka has handed over and the application has not got yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import islice
from operator import length_hint
from typing import Any, TypeAlias

import confluent_kafka

from kafkaroute.messages import OFFSET_INVALID, KafkaError

__all__ = ["Key", "Waiting", "key_of", "keys_in"]

#: A partition: topic and number.
Key: TypeAlias = tuple[str, int]

_topic, _partition = confluent_kafka.Message.topic, confluent_kafka.Message.partition


def key_of(native: Any) -> Key:
    """The partition of a native message; of an event of no partition, (None, -1) or alike."""
    return _topic(native), _partition(native)


def keys_in(partitions: Iterable[Any]) -> set[Key]:
    """The partitions themselves, without their offsets."""
    return {(one.topic, one.partition) for one in partitions}


class Waiting:
    """What one fetch brought: a part is handed out, the rest waits, or is parked while its
    partition is paused.

    Attributes:
        rest: what waits, in order. Whoever takes from it hands out, and may be another thread than
            the one that calls the methods.
    """

    __slots__ = ("_batch", "_fresh", "_handed", "_parked", "_paused", "rest")

    def __init__(self) -> None:
        self.rest: Iterator[Any] = iter(())
        #: What `rest` runs over, and what of the same fetch was handed out before.
        self._batch: list[Any] = []
        self._handed: list[Any] = []
        self._parked: dict[Key, list[Any]] = {}
        self._paused: set[Key] = set()
        #: Of these nothing was handed out since they were assigned or sought.
        self._fresh: set[Key] = set()

    def __len__(self) -> int:
        """How many messages wait to be handed out, without those that are parked."""
        return length_hint(self.rest)

    def mark(self) -> object:
        """Equals an earlier mark as long as nothing has come or was handed out since."""
        return self.rest, len(self)

    def add(self, natives: list[Any]) -> None:
        """A fetch brought these, in addition to what waits."""
        waiting = self._stop()
        self.handed_out(self._handed)
        self._handed = []
        self._go_on([*waiting, *natives] if waiting else natives)

    def handed_out(self, natives: Collection[Any]) -> None:
        """The application has got these."""
        # As long as there are such, this is paid for each message: numbers first, which cost a third.
        if self._fresh and not {n for _, n in self._fresh}.isdisjoint(map(_partition, natives)):
            keys = zip(map(_topic, natives), map(_partition, natives), strict=True)
            self._fresh.difference_update(keys)

    def begin(self, keys: AbstractSet[Key]) -> None:
        """These partitions were assigned or sought."""
        self.drop(keys)
        self._fresh |= keys

    def take(self, most: int) -> list[Any]:
        """Hand out up to so many."""
        return list(islice(self.rest, most))

    def standing(self) -> dict[Key, int]:
        """Where partitions stand, the offset after the last message that was handed out, of those
        of which something waits; OFFSET_INVALID for all of which nothing was handed out."""
        if not (len(self) or self._parked or self._fresh):
            return {}
        waiting = self._stop()
        standing = self._standing(waiting)
        self._go_on(waiting)
        return standing

    def drop(self, keys: AbstractSet[Key]) -> dict[Key, int]:
        """Forget what waits of these partitions, parked or not, and what was handed out; where they
        stood."""
        waiting = self._stop()
        standing = self._standing(waiting)
        for key in keys:
            self._parked.pop(key, None)
        self._fresh -= keys
        self._handed = [one for one in self._handed if key_of(one) not in keys]
        self._go_on([one for one in waiting if key_of(one) not in keys])
        return {key: standing[key] for key in keys & standing.keys()}

    def clear(self) -> dict[Key, int]:
        """Forget everything but what is paused; where partitions stood."""
        standing = self._standing(self._stop())
        self._handed = []
        self._parked.clear()
        self._fresh.clear()
        return standing

    def pause(self, keys: Iterable[Key]) -> None:
        """Hand out nothing of these partitions until :meth:`resume`."""
        self._paused.update(keys)
        self._go_on(self.parked(self._stop()))

    def resume(self, keys: Iterable[Key]) -> None:
        """What is parked of these partitions is handed out next."""
        back: list[Any] = []
        for key in keys:
            self._paused.discard(key)
            back += self._parked.pop(key, ())
        self._go_on([*back, *self._stop()])

    def parked(self, natives: list[Any]) -> list[Any]:
        """`natives` without those of paused partitions, which are parked."""
        free = []
        for one in natives:
            if (key := key_of(one)) in self._paused:
                self._parked.setdefault(key, []).append(one)
            else:
                free.append(one)
        return free

    def _standing(self, waiting: list[Any]) -> dict[Key, int]:
        found = dict.fromkeys(self._fresh, OFFSET_INVALID)
        for one in (*waiting, *(one for some in self._parked.values() for one in some)):
            # What was handed out before it came with an earlier fetch.
            found.setdefault(key_of(one), one.offset())
        for one in self._handed:
            if (key := key_of(one)) in found and (after := _after(one)) is not None:
                found[key] = after
        return found

    def _stop(self) -> list[Any]:
        """What waits; until :meth:`_go_on` nobody else gets any of it."""
        waiting = list(self.rest)
        self._handed += self._batch[: len(self._batch) - len(waiting)]
        self._batch = []
        return waiting

    def _go_on(self, waiting: list[Any]) -> None:
        self._batch = waiting
        self.rest = iter(waiting)


def _after(native: Any) -> int | None:
    """Where the partition stands after this message or event; None where an event does not say."""
    error = native.error()
    if error is None:
        return int(native.offset()) + 1
    return int(native.offset()) if error.code() == KafkaError._PARTITION_EOF else None
