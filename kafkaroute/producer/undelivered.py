"""Messages that no cluster has acknowledged, with all that is needed to produce them again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from itertools import chain
from typing import NamedTuple

from ..backend.contract import DeliveryCallback, HeadersInput
from ..messages import KafkaError, Message

__all__ = ["ReportClock", "Undelivered", "in_order", "report_of"]


class Undelivered(NamedTuple):
    """A message that was accepted and not yet delivered.

    Attributes:
        partition: as the application gave it, -1 where it left the choice to the partitioner.
        timestamp: as the application gave it (ms), 0 where it gave none.
        accepted_at: time.time() of produce(), seconds.
        landed: the partition that it was meant for on the place that failed it; tells which
            messages must keep their order.
        earliest, latest: bounds of produce(), by another clock; see :class:`ReportClock`.
        error: what a client failed it with; None while none has.
        report: what the client reported then; None where it was made to give the message up.
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
    earliest: float = 0.0
    latest: float = 0.0
    error: KafkaError | None = None
    report: Message | None = None

    @property
    def created(self) -> int:
        """The timestamp to send: milliseconds since the epoch."""
        return self.timestamp or int(self.accepted_at * 1000)

    @property
    def size(self) -> int:
        """Bytes of key and value (characters, where they are text)."""
        return len(self.value or b"") + len(self.key or b"")


class ReportClock:
    """When a reported message was produced, as exactly as its report can tell.

    A client takes the latency between the end of its last report and the beginning of this one,
    and nothing else in a report numbers the messages.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._thread = threading.local()

    def bounds(self, latency: float) -> tuple[float, float]:
        """Between which times the message was produced. Called first thing in its report."""
        now = self._clock()
        return getattr(self._thread, "last", float("-inf")) - latency, now - latency

    def done(self) -> None:
        """The report has been dealt with; called last in it, and before a client is served."""
        self._thread.last = self._clock()


def in_order(failed: Iterable[Undelivered]) -> list[Undelivered]:
    """`failed`, as reported, in the order in which each partition's messages were produced.

    A client keeps a partition's messages in several queues (in flight, about to be sent, new) and
    reports each in its order, but one queue's block may come before an older one's. A message
    that was certainly produced before the one reported before it begins another block; blocks are
    sorted by time, and inside a block the reported order is finer than any clock.
    """
    partitions: dict[tuple[str, int | None], list[list[Undelivered]]] = {}
    for message in failed:
        blocks = partitions.setdefault((message.channel, message.landed), [])
        if not blocks or message.latest < blocks[-1][-1].earliest:
            blocks.append([])
        blocks[-1].append(message)
    # All blocks by age, not partition by partition: a message that was not yet given a partition
    # may be followed by one of the same key that was.
    every = sorted(chain.from_iterable(partitions.values()), key=lambda block: block[0].latest)
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
