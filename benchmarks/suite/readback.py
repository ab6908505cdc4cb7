"""What the broker has: everything that was produced is looked for there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import confluent_kafka

from .runs import BrokenMeasurement

__all__ = ["Ledger"]


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
            ends = (
                consumer.get_watermark_offsets(
                    confluent_kafka.TopicPartition(self._topic, number), 10
                )
                for number in partitions
            )
            return sum(high for _low, high in ends)
        finally:
            consumer.close()
