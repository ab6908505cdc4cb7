"""How an accepted message gets into kafka-python's buffers.

:class:`LeanAppender` writes straight into the record accumulator, with one completion per batch
instead of one future per record: three to four times as fast as ``send()``, and null keys with
null values pass. It uses private parts of the library; where one of them is gone,
:class:`PublicAppender` does the work through ``send()``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import Any, Protocol

from kafkaroute.errors import ClosedError, UnsupportedFeature

from .internals import require
from .library import KafkaPartition, MemoryRecordsBuilder, ProducerBatch, kp
from .reports import Entry, Outcome, Reports

__all__ = [
    "Appender",
    "LeanAppender",
    "PublicAppender",
    "age",
    "kafka_partition",
    "make_appender",
]

Pairs = list[tuple[str, bytes | None]]

_numbers = count()


class Appender(Protocol):
    """Queues one message for a partition that exists; raises kafka-python's errors."""

    def __call__(
        self,
        partition: Any,
        timestamp: int,
        key: bytes | None,
        value: bytes | None,
        headers: Pairs,
        entry: Entry,
        accepted_at: float,
        /,
    ) -> None: ...


def make_appender(native: Any, reports: Reports, batch_messages: int) -> Appender:
    """The fast appender if this kafka-python has what it takes, else the public one."""
    try:
        return LeanAppender(native, reports, batch_messages)
    except UnsupportedFeature:
        return PublicAppender(native, reports)


class _LeanBatch(ProducerBatch):  # type: ignore[misc]  # untyped library
    """A batch that keeps its own list of entries and reports once."""

    def __init__(
        self, partition: Any, records: Any, reports: Reports, created: float, now: float
    ) -> None:
        self.entries: list[Entry] = []
        #: Grows with every batch of a partition.
        self.number = next(_numbers)
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

    def __init__(self, batch: _LeanBatch, entry: Entry, position: int) -> None:
        self.age = (batch.number, position)
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


def age(batch: Any) -> tuple[float, int]:
    """Sorts batches of one partition by the order of their messages, whatever became of them."""
    if isinstance(batch, _LeanBatch):
        return batch.number, 0
    futures = batch._record_futures
    if futures and isinstance(futures[0], _Rebound):
        return futures[0].age
    return batch.created, 0


class LeanAppender:
    """Appends to the accumulator as ``RecordAccumulator.append`` does."""

    def __init__(self, native: Any, reports: Reports, batch_messages: int) -> None:
        require(
            "the fast produce path",
            native,
            "_accumulator._appends_in_progress.increment",
            "_accumulator._appends_in_progress.decrement",
            "_accumulator._tp_lock",
            "_accumulator._batches",
            "_accumulator._incomplete.add",
            "_accumulator._closed",
            "_accumulator.config",
            "_sender.wakeup",
            "_transaction_manager",
        )
        accumulator = native._accumulator
        config = accumulator.config
        for key in ("message_version", "compression_attrs", "batch_size", "delivery_timeout_ms"):
            if key not in config:
                raise UnsupportedFeature(f"kafka-python's accumulator knows no {key}")
        self._accumulator = accumulator
        self._batches = accumulator._batches
        self._lock_of = accumulator._tp_lock
        self._begin = accumulator._appends_in_progress.increment
        self._end = accumulator._appends_in_progress.decrement
        self._wakeup = native._sender.wakeup
        self._format = (
            config["message_version"],
            config["compression_attrs"],
            config["batch_size"],
        )
        manager = native._transaction_manager
        self._manager = manager if manager is not None and manager.is_transactional() else None
        if manager is not None and config["message_version"] < 2:
            raise UnsupportedFeature("idempotence needs brokers from version 0.11")
        self._reports = reports
        self._limit = batch_messages

    def __call__(
        self,
        partition: Any,
        timestamp: int,
        key: bytes | None,
        value: bytes | None,
        headers: Pairs,
        entry: Entry,
        accepted_at: float,
        /,
    ) -> None:
        accumulator = self._accumulator
        if self._manager is not None:
            self._manager.maybe_add_partition_to_transaction(partition)
        self._begin()
        try:
            with self._lock_of(partition):
                if accumulator._closed:
                    raise ClosedError("the producer is closed")
                queue = self._batches[partition]
                if queue:
                    batch = queue[-1]
                    # Halves of a batch that was split are the library's own kind.
                    if (
                        batch.__class__ is _LeanBatch
                        and len(batch.entries) < self._limit
                        and batch.records.append(timestamp, key, value, headers) is not None
                    ):
                        batch.entries.append(entry)
                        return
                now = time.monotonic()
                records = MemoryRecordsBuilder(*self._format)
                batch = _LeanBatch(partition, records, self._reports, accepted_at, now)
                records.append(timestamp, key, value, headers)
                batch.entries.append(entry)
                queue.append(batch)
                accumulator._incomplete.add(batch)
        finally:
            self._end()
        self._wakeup()


class PublicAppender:
    """Appends with ``KafkaProducer.send()`` and a pair of callbacks per record."""

    def __init__(self, native: Any, reports: Reports) -> None:
        self._send: Callable[..., Any] = native.send
        self._reports = reports

    def __call__(
        self,
        partition: Any,
        timestamp: int,
        key: bytes | None,
        value: bytes | None,
        headers: Pairs,
        entry: Entry,
        accepted_at: float,  # noqa: ARG002  # the library counts from now
        /,
    ) -> None:
        if key is None and value is None:
            raise UnsupportedFeature("this kafka-python sends no message without key and value")
        if any(header is None for _, header in headers):
            raise UnsupportedFeature("this kafka-python sends no header without a value")
        topic, number = partition
        reports = self._reports

        def delivered(metadata: Any) -> None:
            outcome = Outcome(topic, number, metadata.offset, -1, None)
            reports.settle(outcome, (entry,))

        def failed(exc: BaseException) -> None:
            reports.settle(Outcome(topic, number, -1, -1, lambda _: exc), (entry,))

        future = self._send(
            topic,
            value=value,
            key=key,
            headers=headers,
            partition=number,
            timestamp_ms=timestamp,
        )
        future.add_callback(delivered)
        future.add_errback(failed)


def kafka_partition(topic: str, partition: int) -> Any:
    """kafka-python's own TopicPartition (a named tuple)."""
    return KafkaPartition(topic, partition)
