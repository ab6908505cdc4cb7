"""What a consumer's fetcher makes of the batches it fetched: messages, by our own decoder.

Everything else about a batch (its order, positions, checksums, transactions) stays kafka-python's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..consuming.consumed import ConsumedMessage, consumed
from ..internals import private
from ..library import DefaultRecordBatch
from .record_decoder import decode

__all__ = ["decode_quickly"]

#: What the decoder reads of a batch, beside its documented properties.
_NEEDED = ("_buffer", "_pos")


def decode_quickly(native: Any) -> bool:
    """Have the consumer's poll() return messages instead of ConsumerRecords.

    Returns:
        Whether that is so; False for a version of kafka-python that is made otherwise.
    """
    library = private(native, "_fetcher", "PartitionRecords")
    if not (
        isinstance(library, type)
        and hasattr(library, "_unpack_records")
        and hasattr(library, "_maybe_skip_record")
        and all(hasattr(DefaultRecordBatch, name) for name in _NEEDED)
    ):
        return False
    # Of this one fetcher: others of the process keep the library's.
    native._fetcher.PartitionRecords = _over(library)
    return True


class _Batches:
    """The library's MemoryRecords, whose next batch may be looked at before it is taken."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self._next = records.next_batch()

    def peek(self) -> Any:
        return self._next

    def next_batch(self) -> Any:
        batch, self._next = self._next, None
        if batch is not None:
            self._next = self._records.next_batch()
        return batch


def _over(library: type[Any]) -> type[Any]:
    class FetchedRecords(library):  # type: ignore[misc]  # known at run time only
        """The fetched batches of one partition."""

        def _maybe_skip_record(self, record: ConsumedMessage) -> bool:
            # The fetch may begin in the middle of a batch.
            return record._offset < int(self.fetch_offset)

        def _unpack_records(
            self, tp: Any, records: Any, key_deserializer: Any, value_deserializer: Any
        ) -> Iterator[ConsumedMessage]:
            batches = _Batches(records)
            while self._is_plain(batch := batches.peek()):
                batches.next_batch()
                self.leader_epoch = batch.leader_epoch
                self.records_read += batch.records_count
                self.bytes_read += batch.size_in_bytes
                for message in decode(batch, tp.topic, tp.partition):
                    self.next_fetch_offset = message._offset + 1
                    yield message
                # The last records may be gone by compaction.
                self.next_fetch_offset = batch.next_offset
            # The library deals with what is special, all that follows it, and the end.
            rest = super()._unpack_records(tp, batches, key_deserializer, value_deserializer)
            yield from map(consumed, rest)

        def _is_plain(self, batch: Any) -> bool:
            """Whether nothing of the batch is for the library to judge: transactions and their
            markers, older formats, a wrong checksum."""
            if batch is None or batch.magic != 2:
                return False
            if batch.is_transactional or batch.is_control_batch:
                return False
            return not self.check_crcs or bool(batch.validate_crc())

    return FetchedRecords
