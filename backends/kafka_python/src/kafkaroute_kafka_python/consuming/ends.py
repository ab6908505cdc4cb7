"""``_PARTITION_EOF``: which partitions are read to their end, and who was told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .assignment import Assignment
from .waiting import FetchBuffer

__all__ = ["PartitionEnds"]


class PartitionEnds:
    """Those of one consumer. Without ``enable.partition.eof`` (`wanted`) there are none.

    Args:
        end_of: where a partition ends, as its last fetch said; None: not known.
    """

    def __init__(
        self, buffer: FetchBuffer, end_of: Callable[[Any], int | None], *, wanted: bool
    ) -> None:
        self._buffer = buffer
        self._end_of = end_of
        self._wanted = wanted
        self._told: dict[Any, int] = {}
        self._assignment: Assignment | None = None
        self._positions: Any = None

    def attach(self, assignment: Assignment) -> None:
        self._assignment = assignment

    def opened(self, positions: Any) -> None:
        """`positions`: kafka-python's own state of each partition."""
        self._positions = positions

    def due(self) -> list[tuple[Any, int]]:
        """Partitions and their ends that are to be told now; they count as told."""
        if not self._wanted:
            return []
        due = [(one, at) for one, at in self._reached() if not self._buffer.holds(one)]
        self._told.update(due)
        return due

    def behind_messages(self) -> int:
        """How many will be due as soon as messages that wait are handed out."""
        if not self._wanted:
            return 0
        return sum(self._buffer.holds(one) for one, _ in self._reached())

    def is_told(self, partition: Any, offset: int) -> bool:
        """Whether this end still holds: nobody sought, and the partition has not gone."""
        return self._told.get(partition) == offset

    def forget(self, partition: Any) -> None:
        self._told.pop(partition, None)

    def _reached(self) -> Iterator[tuple[Any, int]]:
        if self._positions is None or self._assignment is None:
            return
        for partition in self._assignment.current():
            state = self._positions.get(partition)
            position = None if state is None else state.position
            if position is None or partition in self._assignment.paused:
                continue
            end = self._end_of(partition)
            at = position.offset
            if end is not None and at >= end and self._told.get(partition) != at:
                yield partition, at
