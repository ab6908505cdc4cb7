"""Whether an application that goes on at some offset would be given anything before another.

Offsets alone do not tell: markers of transactions, aborted records and what compaction removed
take offsets, but are never delivered. So the partition is read from there, as the application
would, until a message or the end comes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ....backend.contract import BackendConsumer
from ....messages import KafkaError, Message, TopicPartition

__all__ = ["GapReader", "Key"]

#: (topic, partition).
Key: TypeAlias = tuple[str, int]

#: Seconds for which a message that was found is believed to be there still: compaction and
#: delete-records requests may remove it.
_BELIEVED = 10.0
#: Longest single poll, in seconds.
_SLICE = 0.1


@dataclass(slots=True)
class _Span:
    """What is known of one partition: nothing is delivered in [`start`, `empty_to`). `found` says
    when (time.monotonic()) a message was found there; 0 where there was none yet."""

    start: int
    empty_to: int
    found: float = 0.0

    def covers(self, start: int, now: float) -> bool:
        fresh = not self.found or now - self.found < _BELIEVED
        return fresh and self.start <= start <= self.empty_to


class GapReader:
    """Reads with `client`, which must report ``_PARTITION_EOF``, read with the application's
    isolation level, and belong to nobody else."""

    def __init__(self, client: BackendConsumer) -> None:
        self._client = client
        self._spans: dict[Key, _Span] = {}

    def empty(
        self, gaps: Mapping[Key, tuple[int, int]], deadline: float
    ) -> dict[Key, bool | str | None]:
        """For each gap [start, end): whether nothing in it is delivered, or what the cluster said
        against that; None where neither a message nor the end came in time.

        Args:
            deadline: time.monotonic() at which to give up.

        Raises:
            KafkaException: the client could not be used.
        """
        waiting = self._unresolved(gaps)
        troubles: dict[Key, str] = {}
        if waiting:
            starts = [TopicPartition(*key, self._spans[key].empty_to) for key in sorted(waiting)]
            self._client.assign(starts)
            # A client may remember that it was paused before.
            self._client.resume(starts)
            try:
                while waiting and (left := deadline - time.monotonic()) > 0:
                    message = self._client.poll(min(left, _SLICE))
                    if message is not None:
                        self._learn(message, waiting, troubles)
            finally:
                self._client.unassign()
        answers: dict[Key, bool | str | None] = {}
        for key, (_, end) in gaps.items():
            if key in waiting:
                answers[key] = troubles.get(key)
            else:
                answers[key] = self._spans[key].empty_to >= end
        return answers

    def _unresolved(self, gaps: Mapping[Key, tuple[int, int]]) -> set[Key]:
        """The gaps that are not known to hold a message, or nothing."""
        now = time.monotonic()
        wanted = set()
        for key, (start, end) in gaps.items():
            span = self._spans.get(key)
            if span is None or not span.covers(start, now):
                span = self._spans[key] = _Span(start, start)
            if not span.found and span.empty_to < end:
                wanted.add(key)
        return wanted

    def _learn(self, message: Message, waiting: set[Key], troubles: dict[Key, str]) -> None:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        error = message.error()
        key = (topic or "", -1 if partition is None else partition)
        if key not in waiting:
            if error is not None:
                troubles.update(dict.fromkeys(waiting, error.str()))
            return
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            troubles[key] = error.str()
            return
        span = self._spans[key]
        span.empty_to = max(span.empty_to, span.empty_to if offset is None else offset)
        waiting.discard(key)
        if error is None:
            span.found = time.monotonic()
            self._client.pause([TopicPartition(*key)])
