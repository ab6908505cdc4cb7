"""Messages that were delivered by librdkafka, but not to the application: read again later.

librdkafka stores an offset when it delivers, and a seek does not set it back: the next commit would
go beyond what the application was given. Only a partition that is assigned anew forgets it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kafkaroute.backend.settings_keys import ConfigValue
from kafkaroute.messages import OFFSET_INVALID, KafkaError, TopicPartition, kafka_exception

from .messages import to_native_partition, to_native_partitions, to_partitions

__all__ = ["Returned"]


class Returned:
    """Puts messages back, and remembers what that made librdkafka forget.

    Args:
        native: the native consumer; its exceptions are passed on.
    """

    def __init__(self, native: Any, config: Mapping[str, ConfigValue]) -> None:
        self._native = native
        self._stores = _is_on(config, "enable.auto.offset.store")
        self._commits = _is_on(config, "enable.auto.commit")
        # With the eager protocol only a whole assignment can be replaced.
        strategy = str(config.get("partition.assignment.strategy", ""))
        self._incremental = "cooperative" in strategy or config.get("group.protocol") == "consumer"
        #: Where reading was sent to, and the position at that time.
        self._sought: dict[tuple[str, int], tuple[int, int]] = {}
        #: Positions from before an assignment, and which of them no commit has covered.
        self._before: dict[tuple[str, int], int] = {}
        self._due: set[tuple[str, int]] = set()

    def sought(self, partition: TopicPartition) -> None:
        """The application, or a move, has sought."""
        key = (partition.topic, partition.partition)
        self._before.pop(key, None)
        self._sought[key] = (partition.offset, self._positions([partition])[0])

    def came(self, partitions: Sequence[TopicPartition]) -> None:
        """The group gave partitions, or took them."""
        for one in partitions:
            self._before.pop((one.topic, one.partition), None)
            self._sought.pop((one.topic, one.partition), None)

    def put_back(self, partition: TopicPartition) -> None:
        """See :meth:`kafkaroute.backend.contract.BackendConsumer.put_back`."""
        if not self._stores:
            # What is stored is the application's word.
            self._native.seek(to_native_partition(partition))
            return
        key = (partition.topic, partition.partition)
        if self._incremental:
            native = to_native_partition(partition)
            self._native.incremental_unassign([native])
            self._native.incremental_assign([native])
        else:
            self._assign_again(key, partition.offset)
        self._sought[key] = (partition.offset, OFFSET_INVALID)
        self._before[key] = partition.offset
        self._due |= self._before.keys()
        if self._commits:
            # To be given up, the partition was committed as far as librdkafka had delivered.
            self._native.commit(offsets=[to_native_partition(partition)], asynchronous=True)
            self._due.clear()

    def _assign_again(self, key: tuple[str, int], offset: int) -> None:
        assignment = to_partitions(self._native.assignment())
        if key not in {(one.topic, one.partition) for one in assignment}:
            raise kafka_exception(KafkaError._STATE, f"{key[0]} [{key[1]}] is not assigned")
        positions = self._positions(assignment)
        for one, at in zip(assignment, positions, strict=True):
            own = (one.topic, one.partition)
            start, since = self._sought.get(own, (at, None))
            if since is None and at >= 0:
                self._before[own] = at
            if since is not None and since != at:
                start = self._before[own] = at  # it has been read since
            if start >= 0 or since is not None:
                one.offset = start
            if own == key:
                one.offset = offset
            self._sought[own] = (one.offset, OFFSET_INVALID)
        self._native.assign(to_native_partitions(assignment))

    def positions(self, asked: list[TopicPartition]) -> list[TopicPartition]:
        """`asked`, as librdkafka answered, with what it has forgotten."""
        if self._before:
            for one in asked:
                key = (one.topic, one.partition)
                if one.offset >= 0:
                    self._before.pop(key, None)
                else:
                    one.offset = self._before.get(key, one.offset)
        return asked

    def owed(self) -> list[TopicPartition]:
        """What a commit without arguments has to commit beside what librdkafka has stored."""
        due = [TopicPartition(*key, at) for key, at in self._before.items() if key in self._due]
        if not due:
            return []
        return [one for one, at in zip(due, self._positions(due), strict=True) if at < 0]

    def settled(self) -> None:
        """What was owed is committed."""
        self._due.clear()

    def _positions(self, partitions: Sequence[TopicPartition]) -> list[int]:
        bare = [TopicPartition(one.topic, one.partition) for one in partitions]
        return [one.offset for one in self._native.position(to_native_partitions(bare))]


def _is_on(config: Mapping[str, ConfigValue], key: str) -> bool:
    return str(config.get(key, True)).lower() in {"true", "1", "t"}
