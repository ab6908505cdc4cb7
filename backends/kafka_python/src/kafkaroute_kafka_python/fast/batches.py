"""Batches of the library's that report once, instead of one future per record."""

from __future__ import annotations

from itertools import count
from typing import Any

from ..library import ProducerBatch, kp
from ..producing.reports import Entry, Outcome, Reports

__all__ = ["LeanBatch"]

_numbers = count()


class LeanBatch(ProducerBatch):  # type: ignore[misc]  # untyped library
    """A batch that keeps its own list of entries and reports once."""

    def __init__(
        self, partition: Any, records: Any, reports: Reports, created: float, now: float
    ) -> None:
        self.entries: list[Entry] = []
        #: Grows with every batch of a partition (the second number: with a batch's messages).
        self.age = (next(_numbers), 0)
        self._reports = reports
        self._rebounds: list[_Rebound] | None = None
        super().__init__(partition, records, now=now)
        # Waiting for metadata counts, too: the message's life began when it was accepted.
        self.created = created

    @property
    def _record_futures(self) -> list[_Rebound]:
        if self._rebounds is None:
            self._rebounds = [
                _Rebound(self, entry, position) for position, entry in enumerate(self.entries)
            ]
        return self._rebounds

    @_record_futures.setter
    def _record_futures(self, futures: list[Any]) -> None:
        """The library's own constructor starts with an empty list; ours is :attr:`entries`."""

    def _complete_future(self, base_offset: int, timestamp_ms: int, failure: Any) -> None:
        if self.produce_future.is_done:
            raise kp.IllegalStateError("the batch is done already")
        tp = self.topic_partition
        appended = -1 if timestamp_ms is None else timestamp_ms
        outcome = Outcome(tp[0], tp[1], base_offset, appended, failure)
        self._reports.settle(outcome, self.entries)
        self.produce_future.success((base_offset, timestamp_ms, failure))


class _Rebound:
    """One message of a batch that was too large for the broker and is sent in halves."""

    __slots__ = ("_batch", "_entry", "_future", "_index", "age")

    def __init__(self, batch: LeanBatch, entry: Entry, position: int) -> None:
        self.age = (batch.age[0], position)
        self._batch = batch
        self._entry = entry
        self._future: Any = None
        self._index = 0

    def rebind(self, future: Any, index: int) -> None:
        """Called by the library for each half, and again when a half is split."""
        first = self._future is None
        self._future = future
        self._index = index
        future.add_callback(self._done, future)
        if first:
            # Whoever waits for the old batch must look again; it will not complete.
            self._batch.produce_future._latch.set()

    def _done(self, future: Any, result: Any) -> None:
        if future is not self._future:
            return
        base_offset, timestamp_ms, failure = result
        tp = self._batch.topic_partition
        appended = -1 if timestamp_ms is None else timestamp_ms
        outcome = Outcome(tp[0], tp[1], base_offset, appended, failure)
        self._batch._reports.settle(outcome, (self._entry,), self._index)
