"""Writes straight into kafka-python's record accumulator.

With one completion per batch instead of one future per record: three to four times as fast as
``send()``, and null keys with null values pass.
"""

from __future__ import annotations

import time
from typing import Any

from kafkaroute.errors import ClosedError, UnsupportedFeature

from ..internals import require
from ..library import MemoryRecordsBuilder
from ..loose import Number
from ..producing.reports import Entry, Reports
from .batches import LeanBatch

__all__ = ["LeanAppender"]


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
        timestamp: Number,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes | None]],
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
                        type(batch) is LeanBatch
                        and len(batch.entries) < self._limit
                        and batch.records.append(timestamp, key, value, headers) is not None
                    ):
                        batch.entries.append(entry)
                        return
                now = time.monotonic()
                records = MemoryRecordsBuilder(*self._format)
                batch = LeanBatch(partition, records, self._reports, accepted_at, now)
                records.append(timestamp, key, value, headers)
                batch.entries.append(entry)
                queue.append(batch)
                accumulator._incomplete.add(batch)
        finally:
            self._end()
        self._wakeup()
