"""Where reading stands, and what of it librdkafka may commit.

librdkafka stores an offset when it hands a message over, which is too early for messages that wait
here: the next commit would go beyond what the application was given. So its own storing is off
(``enable.auto.offset.store``), and what was handed out is stored from here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import confluent_kafka

from kafkaroute.backend.settings_keys import ConfigValue, is_on
from kafkaroute.messages import OFFSET_INVALID, KafkaError, TopicPartition

from .messages import to_native_partition, to_native_partitions
from .waiting import Key, Waiting

__all__ = ["GONE", "STORE", "Positions"]

STORE = "enable.auto.offset.store"
#: What librdkafka says of partitions that went away, of which the group is about to tell.
GONE = frozenset({KafkaError._STATE, KafkaError._UNKNOWN_PARTITION})
#: Seconds between two storings while messages are handed out.
_INTERVAL = 0.1

_log = logging.getLogger("kafkaroute.confluent")


class Positions:
    """Positions of one native consumer, whose exceptions are passed on.

    Args:
        config: as the application gave it; where it stores offsets by itself, nothing is stored
            from here.

    Attributes:
        due: the time.monotonic() of the next storing.
        own: what is assigned. Known here, as librdkafka does not tell while it is closing; what is
            not assigned any more would do no harm.
    """

    def __init__(self, native: Any, config: Mapping[str, ConfigValue], waiting: Waiting) -> None:
        self._native = native
        self._waiting = waiting
        self.stores = is_on(config, STORE)
        self._commits = is_on(config, "enable.auto.commit")
        self.due = 0.0 if self.stores and self._commits else float("inf")
        self.own: set[Key] = set()
        #: The same for librdkafka; None: to be made anew.
        self._asked: list[Any] | None = None
        #: Where partitions stand of which messages were put back, until the next is handed out;
        #: those of `owed` have still to be committed, although it is less than before.
        self._back: dict[Key, int] = {}
        self._owed: set[Key] = set()
        #: Where partitions stood that a rebalance takes, while its callback runs.
        self._leaving: dict[Key, int] = {}

    def placed(self, keys: AbstractSet[Key]) -> None:
        """These partitions were assigned, in addition to what is."""
        self._waiting.begin(keys)
        self._forget(keys)
        self._own(self.own | keys)

    def reset(self) -> None:
        """Nothing is assigned any more."""
        self._forget(self._back.keys())
        self._own(set())

    def leave(self, keys: AbstractSet[Key]) -> None:
        """A rebalance takes these partitions. Nothing more of them is handed out; the callback may
        still ask where they stand."""
        self._leaving |= self._waiting.drop(keys)
        self.store()

    def leave_all(self) -> None:
        """As :meth:`leave`, everything."""
        self._leaving |= self._waiting.clear()
        self.store()

    def left(self, keys: AbstractSet[Key]) -> None:
        """They are gone."""
        self._forget(keys)
        self._own(self.own - keys)

    def _own(self, keys: set[Key]) -> None:
        self.own = keys
        self._asked = None

    def _forget(self, keys: AbstractSet[Key]) -> None:
        self._leaving = {}
        for key in tuple(keys):
            self._back.pop(key, None)
            self._owed.discard(key)

    def sought(self, key: Key) -> None:
        """Reading goes on elsewhere."""
        self._waiting.begin({key})
        self._back.pop(key, None)
        self._owed.discard(key)

    def correct(self, answers: Iterable[Any]) -> None:
        """Positions as librdkafka answered become those of what was handed out.

        It is not asked about partitions of which nothing was handed out yet: it answers with the
        position of before for some ms after an assignment, and with the end of what consume() took
        when a callback inside it gave the partition up.
        """
        standing = {**self._waiting.standing(), **self._leaving}
        if not standing and not self._back:
            return
        for one in answers:
            key = (one.topic, one.partition)
            one.offset = standing.get(key, one.offset)
            if one.offset >= 0:
                self._back.pop(key, None)
            else:
                one.offset = self._back.get(key, one.offset)

    def store(self) -> None:
        """Have librdkafka know what was handed out, for its next commit."""
        if not self.stores:
            return
        if self._asked is None:
            self._asked = [confluent_kafka.TopicPartition(*key) for key in self.own]
        positions = self._native.position(self._asked)
        self.correct(positions)
        known = [one for one in positions if one.offset >= 0]
        if not known:
            return
        try:
            self._native.store_offsets(offsets=known)
        except confluent_kafka.KafkaException as error:
            if error.args[0].code() not in GONE:
                raise
            _log.debug("not stored, the partitions have gone: %s", error)

    def store_in_time(self, now: float) -> None:
        """As :meth:`store`, for librdkafka's commits by the clock."""
        self.due = now + _INTERVAL
        self.store()

    def put_back(self, partition: TopicPartition) -> None:
        """Messages from ``partition.offset`` on count as not handed out; reading goes on there."""
        key = (partition.topic, partition.partition)
        self.sought(key)
        if not self.stores:
            return  # what is stored is the application's word
        native = to_native_partition(partition)
        self._back[key] = partition.offset
        self._native.store_offsets(offsets=[native])
        if self._commits:
            # librdkafka itself never commits less than before.
            self._native.commit(offsets=[native], asynchronous=True)
        else:
            self._owed.add(key)

    def owed(self) -> list[TopicPartition]:
        """What a commit without arguments has to commit although it is less than before."""
        if not self._owed:
            return []
        owed = [TopicPartition(topic, number) for topic, number in self._owed]
        answers = self._native.position(to_native_partitions(owed))
        self.correct(answers)
        for one, answer in zip(owed, answers, strict=True):
            one.offset = answer.offset
        return [one for one in owed if one.offset != OFFSET_INVALID]

    def settled(self) -> None:
        """What was owed is committed."""
        self._owed.clear()
