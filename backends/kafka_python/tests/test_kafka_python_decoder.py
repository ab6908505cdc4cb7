"""Our decoder of record batches against kafka-python's: the same messages, the same refusals."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from kafkaroute.messages import TIMESTAMP_LOG_APPEND_TIME, TIMESTAMP_NOT_AVAILABLE
from kafkaroute_kafka_python.consuming.consumed import consumed
from kafkaroute_kafka_python.fast.fetched_records import decode_quickly
from kafkaroute_kafka_python.fast.record_decoder import decode
from kafkaroute_kafka_python.library import DefaultRecordBatch, KafkaPartition, kp

# After library.py, which knows of the warning that the first import brings.
from kafka.consumer.fetcher import Fetcher  # isort: skip
from kafka.record.default_records import DefaultRecordBatchBuilder  # isort: skip

P0 = KafkaPartition("t", 0)
#: (offset, timestamp, key, value, headers), as a log may have them: with holes, and times that go back.
RECORDS: list[tuple[int, int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = [
    (0, 1_700_000_000_000, b"k", b"v", []),
    (1, 1_700_000_000_000, None, None, []),
    (2, 1_700_000_000_063, b"", b"", []),
    (3, 1_700_000_000_064, b"k" * 63, b"v" * 64, [("name", b"value")]),
    (9, 1_699_999_999_000, b"k" * 64, b"v" * 8191, [("empty", b""), ("none", None), ("", b"x")]),
    (70, 1_700_000_900_000, b"k", b"v" * 20_000, [("wide", b"y" * 300), ("ünï", b"z")]),
    (9_000, 1_700_999_999_999, None, b"v", []),
    (2_000_000, 1_600_000_000_000, b"k", None, []),
]


def built(
    records: Any = RECORDS, codec: int = 0, *, base: int = 0, transactional: bool = False
) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=transactional,
        producer_id=7 if transactional else -1,
        producer_epoch=0 if transactional else -1,
        base_sequence=0 if transactional else -1,
        batch_size=1 << 30,
    )
    for offset, timestamp, key, value, headers in records:
        assert builder.append(offset, timestamp, key, value, headers) is not None
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, base)
    return bytes(data)


def by_library(data: bytes, topic: str = "t", partition: int = 0) -> Iterator[Any]:
    batch = DefaultRecordBatch(data)
    for record in batch:
        yield consumed(
            SimpleNamespace(
                topic=topic,
                partition=partition,
                leader_epoch=batch.leader_epoch,
                offset=record.offset,
                timestamp=record.timestamp,
                timestamp_type=record.timestamp_type,
                key=record.key,
                value=record.value,
                headers=record.headers,
            )
        )


def told(message: Any) -> tuple[Any, ...]:
    return (
        message.topic(),
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        message.headers(),
        message.error(),
        message.timestamp(),
        message.latency(),
        message.leader_epoch(),
    )


def outcome(messages: Iterator[Any]) -> tuple[list[tuple[Any, ...]], bool]:
    """What was read, and whether the end was a refusal."""
    found: list[tuple[Any, ...]] = []
    try:
        found.extend(map(told, messages))  # what came before an exception stays
    except kp.CorruptRecordError:
        return found, True
    return found, False


@pytest.mark.parametrize("codec", [0, 1, 2, 3, 4])
def test_it_reads_what_the_library_reads(codec: int) -> None:
    data = built(codec=codec, base=1 << 40)
    read, refused = outcome(decode(DefaultRecordBatch(data), "t", 0))
    assert not refused
    assert read == outcome(by_library(data))[0]
    assert [one[2] - (1 << 40) for one in read] == [record[0] for record in RECORDS]
    assert [one[3:5] for one in read] == [record[2:4] for record in RECORDS]
    assert [one[5] for one in read] == [record[4] or None for record in RECORDS]
    assert [one[7][1] for one in read] == [record[1] for record in RECORDS]


def with_attributes(data: bytes, bits: int) -> bytes:
    """`data` with its attributes set, as the broker does for its own time stamps."""
    changed = bytearray(data)
    struct.pack_into(">h", changed, 21, bits)
    return bytes(changed)


def test_the_brokers_time_counts_where_it_stamps() -> None:
    data = with_attributes(built(), 0x08)
    read, _ = outcome(decode(DefaultRecordBatch(data), "t", 0))
    assert read == outcome(by_library(data))[0]
    assert {one[7] for one in read} == {(TIMESTAMP_LOG_APPEND_TIME, 1_700_999_999_999)}


def test_a_record_without_a_time() -> None:
    data = built([(0, -1, b"k", b"v", [])])
    read, _ = outcome(decode(DefaultRecordBatch(data), "t", 0))
    assert read == outcome(by_library(data))[0]
    assert read[0][7] == (TIMESTAMP_NOT_AVAILABLE, -1)


def test_the_leader_epoch_of_the_batch() -> None:
    data = bytearray(built(RECORDS[:1]))
    struct.pack_into(">i", data, 12, 42)
    [message] = decode(DefaultRecordBatch(bytes(data)), "t", 0)
    assert message.leader_epoch() == 42


def test_damage_is_refused_where_the_library_refuses_it() -> None:
    """20,000 damaged batches: never another exception, never other messages. (No byte of 128 and
    more: the library takes a record's attributes for a varint, where KIP-98 has one byte.)"""
    chance = random.Random(20260729)
    whole = built(RECORDS[:5])
    head = 61  # of the batch: the library reads it for both
    seen = {True: 0, False: 0}
    for _ in range(20_000):
        data = bytearray(whole)
        if chance.random() < 0.2:
            del data[chance.randrange(head, len(data)) :]
        for _ in range(chance.randrange(1, 3)):
            if len(data) > head:
                data[chance.randrange(head, len(data))] = chance.randrange(128)
        ours = outcome(decode(DefaultRecordBatch(bytes(data)), "t", 0))
        assert ours == outcome(by_library(bytes(data))), data.hex()
        seen[ours[1]] += 1
    assert min(seen.values()) > 1000, seen


def test_a_number_without_an_end_is_refused() -> None:
    data = bytearray(built(RECORDS[:1]))
    data[61:] = b"\xff" * 20
    assert outcome(decode(DefaultRecordBatch(bytes(data)), "t", 0)) == ([], True)


# -- in the library's fetcher ----------------------------------------------------------------------


class Batches:
    """As the library's MemoryRecords."""

    def __init__(self, *batches: bytes) -> None:
        self._batches = [DefaultRecordBatch(data) for data in batches]

    def next_batch(self) -> Any:
        return self._batches.pop(0) if self._batches else None


def fetched(*batches: bytes, at: int = 0, **more: Any) -> Any:
    native = SimpleNamespace(_fetcher=SimpleNamespace(PartitionRecords=Fetcher.PartitionRecords))
    assert decode_quickly(native)
    made = native._fetcher.PartitionRecords
    return made(at, P0, Batches(*batches), **({"check_crcs": False} | more))


def plain(*offsets: int) -> list[Any]:
    return [(offset, 1, b"k", b"%d" % offset, []) for offset in offsets]


def test_a_fetch_is_taken_in_pieces_and_ends_where_its_last_batch_does() -> None:
    drained: list[Any] = []
    holes = bytearray(built(plain(3, 5)))
    struct.pack_into(">i", holes, 23, 9)  # last_offset_delta: what followed is gone by compaction
    part = fetched(built(plain(0, 1, 2)), bytes(holes), on_drain=drained.append)
    assert [m.offset() for m in part.take(2)] == [0, 1]
    assert part.next_fetch_offset == 2
    assert [m.offset() for m in part.take(2)] == [2, 3]
    assert part.next_fetch_offset == 4
    assert not drained
    assert [m.offset() for m in part.take(10)] == [5]
    assert part.next_fetch_offset == 10
    assert drained == [part]
    assert not part
    assert part.records_read == 5


def test_what_is_before_the_fetch_is_left_out() -> None:
    part = fetched(built(plain(0, 1, 2, 3)), at=2)
    assert [m.offset() for m in part.take()] == [2, 3]


def test_transactions_stay_the_librarys() -> None:
    """An aborted one is not read, and what follows it is."""
    aborted = built(plain(0, 1), transactional=True)
    part = fetched(
        aborted,
        built(plain(2, 3)),
        isolation_level=1,
        aborted_transactions=[SimpleNamespace(producer_id=7, first_offset=0)],
    )
    assert [m.offset() for m in part.take()] == [2, 3]
    assert [m.value() for m in fetched(aborted, built(plain(2))).take()] == [b"0", b"1", b"2"]


def test_a_wrong_checksum_is_refused_where_it_is_asked_for() -> None:
    good = built(plain(0))
    bad = bytearray(built(plain(1)))
    bad[-2] ^= 1  # in the value
    assert len(fetched(good, bytes(bad)).take()) == 2
    part = fetched(good, bytes(bad), check_crcs=True)
    assert [m.offset() for m in part.take()] == [0]
    with pytest.raises(kp.CorruptRecordError, match="crc"):
        part.take()


def test_another_version_of_the_library_decodes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Renamed:
        pass

    fetcher = SimpleNamespace(PartitionRecords=Renamed)
    assert not decode_quickly(SimpleNamespace(_fetcher=fetcher))
    assert fetcher.PartitionRecords is Renamed
    assert not decode_quickly(SimpleNamespace())
    fetcher.PartitionRecords = Fetcher.PartitionRecords
    monkeypatch.delattr(DefaultRecordBatch, "_pos")
    assert not decode_quickly(SimpleNamespace(_fetcher=fetcher))


def test_only_the_consumers_own_fetcher_is_changed() -> None:
    before = Fetcher.PartitionRecords
    fetched(built())
    assert Fetcher.PartitionRecords is before
