"""Messages that no cluster has acknowledged, with all that is needed to produce them again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

from ...backend.contract import DeliveryCallback, HeadersInput
from ...messages import KafkaError, Message

__all__ = ["Undelivered", "in_order", "report_of"]

#: Within one block of reports the times of acceptance go up, but for what clocks and threads blur
#: (0.1 ms was measured); a step back by more than this many seconds begins another block.
_STEP_BACK = 0.001


class Undelivered(NamedTuple):
    """A message that was accepted and not yet delivered.

    Attributes:
        partition: as the application gave it, -1 where it left the choice to the partitioner.
        timestamp: as the application gave it (ms), 0 where it gave none.
        accepted_at: time.time() of produce(), seconds.
        landed: the partition that it was meant for on the place that failed it; tells which
            messages must keep their order.
    """

    channel: str
    value: bytes | str | None
    key: bytes | str | None
    partition: int
    callback: DeliveryCallback | None
    timestamp: int
    headers: HeadersInput | None
    accepted_at: float
    landed: int | None = None

    @property
    def created(self) -> int:
        """The timestamp to send: milliseconds since the epoch."""
        return self.timestamp or int(self.accepted_at * 1000)

    @property
    def size(self) -> int:
        """Bytes of key and value (characters, where they are text)."""
        return len(self.value or b"") + len(self.key or b"")


def in_order(failed: Iterable[Undelivered]) -> list[Undelivered]:
    """`failed`, as reported, in the order in which each partition's messages were produced.

    A client reports in order within each of its queues (in flight, queued), but one queue's block
    may come before an older one's. Blocks are told apart by the time of acceptance going back, and
    sorted by it; inside a block the reported order is finer than any clock.
    """
    partitions: dict[tuple[str, int | None], list[list[Undelivered]]] = {}
    for message in failed:
        blocks = partitions.setdefault((message.channel, message.landed), [])
        if not blocks or message.accepted_at < blocks[-1][-1].accepted_at - _STEP_BACK:
            blocks.append([])
        blocks[-1].append(message)
    # All blocks by age, not partition by partition: a message that was not yet given a partition
    # may be followed by one of the same key that was.
    every = sorted(chain.from_iterable(partitions.values()), key=lambda block: block[0].accepted_at)
    return list(chain.from_iterable(every))


def report_of(message: Undelivered, topic: str, error: KafkaError) -> Message:
    """What a delivery callback is told about a message that never reached a client."""
    return Message(
        topic,
        message.partition,
        None,
        _encoded(message.key),
        _encoded(message.value),
        error=error,
        latency=time.time() - message.accepted_at,
    )


def _encoded(data: bytes | str | None) -> bytes | None:
    return data.encode() if isinstance(data, str) else data
