"""What the broker has: everything that was produced is looked for there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import confluent_kafka

from .runs import BrokenMeasurement

__all__ = ["Ledger"]

#: Seconds until a new topic must be there.
_PATIENCE = 10.0
_TOO_EARLY = (
    confluent_kafka.KafkaError.UNKNOWN_TOPIC_OR_PART,
    confluent_kafka.KafkaError.LEADER_NOT_AVAILABLE,
    confluent_kafka.KafkaError.NOT_LEADER_FOR_PARTITION,
)


class Ledger:
    """Counts what runs produced to one topic against what the broker has of it.

    Attributes:
        produced: how many messages the runs have produced; they add to it.
    """

    def __init__(self, config: dict[str, Any], topic: str) -> None:
        self._config = config
        self._topic = topic
        self.produced = 0

    @contextmanager
    def balanced(self) -> Iterator[Ledger]:
        """What is produced inside must be on the broker at the end, no more and no less."""
        before, self.produced = self._count(), 0
        yield self
        found = self._count() - before
        if found != self.produced:
            raise BrokenMeasurement(
                f"{self.produced} messages were produced to {self._topic}, the broker has {found}"
            )

    def _count(self) -> int:
        consumer = confluent_kafka.Consumer({**self._config, "group.id": "bench-ledger"})
        try:
            partitions = consumer.list_topics(self._topic, 10).topics[self._topic].partitions
            return sum(_end(consumer, self._topic, number) for number in partitions)
        finally:
            consumer.close()


def _end(consumer: Any, topic: str, number: int) -> int:
    """The offset after the last message; the leader of a new partition may not know it yet."""
    patience = time.monotonic() + _PATIENCE
    while True:
        try:
            partition = confluent_kafka.TopicPartition(topic, number)
            return consumer.get_watermark_offsets(partition, 10)[1]
        except confluent_kafka.KafkaException as error:
            if error.args[0].code() not in _TOO_EARLY or time.monotonic() > patience:
                raise
        time.sleep(0.1)
