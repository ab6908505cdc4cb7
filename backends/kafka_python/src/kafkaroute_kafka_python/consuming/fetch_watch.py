"""Watermarks out of fetch answers: kafka-python drops the last stable offset it is told.

It is what says where a partition ends for a reader of committed messages.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..library import KafkaNetClient, KafkaPartition
from ..network.connections import WatchedManager
from ..network.pump import Pump
from ..network.troubles import Troubles

__all__ = ["FetchWatch", "Watermarks", "make_consumer_client"]


class Watermarks(NamedTuple):
    low: int
    high: int
    last_stable: int


class FetchWatch:
    """What the brokers last said about each partition; written on the I/O thread."""

    def __init__(self) -> None:
        self.marks: dict[Any, Watermarks] = {}

    def observe(self, response: Any) -> None:
        for topic in response.responses:
            for part in topic.partitions:
                if part.error_code:
                    continue
                high = part.high_watermark
                stable = part.last_stable_offset
                low = part.log_start_offset
                self.marks[KafkaPartition(topic.topic, part.partition_index)] = Watermarks(
                    -1 if low is None else low,
                    high,
                    high if stable is None or stable < 0 else stable,
                )

    def end(self, partition: Any, *, read_committed: bool) -> int | None:
        marks = self.marks.get(partition)
        if marks is None:
            return None
        return marks.last_stable if read_committed else marks.high


def make_consumer_client(
    watch: FetchWatch, troubles: Troubles, auto_create: bool, **configs: Any
) -> Any:
    """A network client whose event loop serves callbacks and whose fetches are watched."""
    net = Pump(**configs)
    manager = WatchedManager(net, **configs)
    manager.on_fetched = watch.observe
    manager.on_lost = troubles.connection_lost
    # The library does not pass this setting on to its metadata requests.
    manager.cluster.config["allow_auto_create_topics"] = auto_create
    # So that bootstrapping, too, is driven by a thread of the loop's own.
    net.start()
    return KafkaNetClient(net=net, manager=manager, **configs)
