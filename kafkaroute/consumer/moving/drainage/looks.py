"""What is known of how far a group has read an old place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ....messages import OFFSET_INVALID, TopicPartition

__all__ = ["Ends", "Extent", "Look"]


@dataclass(frozen=True, slots=True)
class Extent:
    """One partition as one look found it. Offsets as Kafka counts them.

    Attributes:
        read: where the group goes on: its committed offset, or the own position where that is
            larger; None where there is neither.
        low, high: the first offset that is there, and the one after the last (the high watermark:
            open transactions count).
        drained: nothing that the application could still be given lies in [`read`, `high`).
            Control markers, aborted records and gaps left by compaction are not given to it.
        error: why nothing is known (no secrets); None when the partition was looked at.
    """

    read: int | None = None
    low: int = OFFSET_INVALID
    high: int = OFFSET_INVALID
    drained: bool = False
    error: str | None = None

    @property
    def next(self) -> int:
        """The offset from which on the partition is not known to be read; OFFSET_INVALID where
        neither a commit nor the beginning is known."""
        if self.read is None:
            return self.low
        return max(self.read, self.low)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at one topic found.

    Attributes:
        topic: the topic's name.
        at: time.monotonic() before the first question was asked: whatever was written before it
            has been seen.
        took: seconds.
        cluster_id: as the cluster tells it; None where it did not answer.
        partitions: what is known of each; of a partition that did not answer in time, what an
            earlier look knew is not repeated.
        error: why the topic as a whole could not be looked at (no secrets), else None.
    """

    topic: str
    at: float
    took: float = 0.0
    cluster_id: str | None = None
    partitions: Mapping[int, Extent] = field(default_factory=dict)
    error: str | None = None

    @property
    def reached(self) -> bool:
        """Every partition answered."""
        return self.error is None and all(one.error is None for one in self.partitions.values())

    @property
    def drained(self) -> bool:
        """The group has read every partition to its end."""
        return self.reached and all(one.drained for one in self.partitions.values())

    @property
    def untouched(self) -> bool:
        """The group has no offset on any partition: it has never read this topic."""
        return self.reached and all(one.read is None for one in self.partitions.values())

    def unread(self) -> list[TopicPartition]:
        """Partitions that are not drained, each with the offset from which on it may be unread."""
        return [
            TopicPartition(self.topic, number, one.next)
            for number, one in sorted(self.partitions.items())
            if not one.drained
        ]


class Ends:
    """Remembers which partitions were found drained: it stays true once true.

    Only looks that began at `since` (time.monotonic()) or later count: set it to the end of the
    window in which producers may still write to the old place.
    """

    def __init__(self, since: float) -> None:
        self.since = since
        self._ends: dict[int, int] = {}
        self._known: Look | None = None

    def add(self, look: Look) -> None:
        """Learn from one more look, in the order in which they were made."""
        if look.partitions:
            self._known = look
        if look.at < self.since:
            return
        for number, one in look.partitions.items():
            if one.drained:
                self._ends.setdefault(number, one.high)

    @property
    def ends(self) -> Mapping[int, int]:
        """Partition → the end (high watermark) for which it was found drained first."""
        return self._ends

    @property
    def complete(self) -> bool:
        """Every partition that the last look with an answer knew was found drained."""
        known = self._known
        return known is not None and known.at >= self.since and not self._missing(known)

    def unread(self) -> list[TopicPartition]:
        """Partitions not found drained, each with the offset from which on it may be unread, as
        the last look with an answer knew them."""
        known = self._known
        if known is None:
            return []
        missing = self._missing(known)
        return [
            TopicPartition(known.topic, number, known.partitions[number].next)
            for number in sorted(missing)
        ]

    def _missing(self, known: Look) -> set[int]:
        return set(known.partitions) - set(self._ends)
