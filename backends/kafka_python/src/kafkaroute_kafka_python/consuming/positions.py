"""Which offsets a consumer delivered, stored and committed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kafkaroute.messages import OFFSET_INVALID, KafkaError, TopicPartition

from ..library import KafkaPartition, OffsetAndMetadata

__all__ = ["OffsetStore", "Stored", "native_offsets", "native_partition"]


class Stored(NamedTuple):
    """The next offset to read, and what goes beside it."""

    offset: int
    leader_epoch: int = -1
    metadata: str = ""


class OffsetStore:
    """Offsets per kafka-python partition (a named tuple of topic and number).

    Written by the thread that polls and read by the one that commits: each change is one
    assignment to one dictionary slot.

    Attributes:
        delivered: after the last message that the application was given.
        stored: what the next commit without arguments commits.
    """

    def __init__(self) -> None:
        self.delivered: dict[Any, Stored] = {}
        self.stored: dict[Any, Stored] = {}
        self._committed: dict[Any, Stored] = {}

    def due(self, partitions: Iterable[Any] | None = None) -> dict[Any, Stored]:
        """What is stored and not committed yet (of `partitions`, or of all).

        As with librdkafka a commit without arguments never goes backwards: after a seek back,
        only what is beyond the last commit counts.
        """
        stored = self.stored.copy()
        chosen = stored if partitions is None else stored.keys() & set(partitions)
        committed = self._committed
        return {
            tp: stored[tp]
            for tp in chosen
            if tp not in committed or stored[tp].offset > committed[tp].offset
        }

    def mark_committed(self, offsets: Mapping[Any, Stored]) -> None:
        self._committed.update(offsets)

    def put_back(self, partition: Any, back: Stored, *, stored: bool) -> None:
        """The application was not given what is behind `back`; `stored`: it was stored."""
        self.delivered[partition] = back
        if stored:
            self.stored[partition] = back
            self._committed.pop(partition, None)

    def forget(self, partitions: Iterable[Any]) -> None:
        """The partitions are no longer this consumer's."""
        for tp in partitions:
            self.delivered.pop(tp, None)
            self.stored.pop(tp, None)
            self._committed.pop(tp, None)

    def position(self, partition: Any) -> int:
        stored = self.delivered.get(partition)
        return OFFSET_INVALID if stored is None else stored.offset


def native_partition(partition: TopicPartition) -> Any:
    return KafkaPartition(partition.topic, partition.partition)


def native_offsets(offsets: Mapping[Any, Stored]) -> dict[Any, Any]:
    """As kafka-python's commit calls want them."""
    return {
        tp: OffsetAndMetadata(stored.offset, stored.metadata, stored.leader_epoch)
        for tp, stored in offsets.items()
    }


def from_application(partitions: Iterable[TopicPartition]) -> dict[Any, Stored]:
    """Offsets to commit or store; those below zero say nothing and are left out."""
    return {
        native_partition(tp): Stored(
            tp.offset, -1 if tp.leader_epoch is None else tp.leader_epoch, tp.metadata or ""
        )
        for tp in partitions
        if tp.offset >= 0
    }


def to_application(
    offsets: Mapping[Any, Stored], error: KafkaError | None = None
) -> list[TopicPartition]:
    return [
        TopicPartition(
            tp.topic,
            tp.partition,
            stored.offset,
            stored.metadata or None,
            None if stored.leader_epoch < 0 else stored.leader_epoch,
            error=error,
        )
        for tp, stored in offsets.items()
    ]
