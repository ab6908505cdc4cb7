"""The same key lands on the same partition as with librdkafka."""

from __future__ import annotations

import zlib
from collections import Counter

import pytest

from ...errors import UnsupportedFeature
from .kit import PATIENCE, Kit, Reports

__all__ = ["PartitioningTests", "murmur2"]

_PARTITIONS = 12
_KEYS = [f"key-{number}".encode() for number in range(280)] + [
    bytes([n, 255 - n]) for n in range(20)
]


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit variant of Austin Appleby's MurmurHash2 (seed 0x9747b28c)."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(data[start : start + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = h * m & mask ^ k
    if tail := data[whole:]:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def _spread(kit: Kit, settings: dict[str, str], keys: list[bytes | None]) -> list[int]:
    """The partition that each key went to."""
    topic = kit.topic(_PARTITIONS)
    producer = kit.producer(settings)
    reports = Reports()
    send = producer.sender(topic)
    for key in keys:
        send(b"v", key, -1, reports)
    assert producer.flush(PATIENCE) == 0
    assert set(reports.codes) == {None}
    found = {message.key(): message.partition() or 0 for message in reports.messages}
    return [found[key] for key in keys]


class PartitioningTests:
    def test_default_is_crc32_of_the_key(self, kit: Kit) -> None:
        expected = [zlib.crc32(key) % _PARTITIONS for key in _KEYS]
        assert _spread(kit, {}, list(_KEYS)) == expected

    def test_text_and_bytes_of_a_key_are_the_same(self, kit: Kit) -> None:
        topic = kit.topic(_PARTITIONS)
        [text] = kit.write(topic, [b"v"], key="größe")
        [binary] = kit.write(topic, [b"v"], key="größe".encode())
        expected = zlib.crc32("größe".encode()) % _PARTITIONS
        assert (text.partition(), binary.partition()) == (expected, expected)

    def test_partitions_are_kept_once_metadata_is_known(self, kit: Kit) -> None:
        topic = kit.topic(_PARTITIONS)
        first, second = (
            [each.partition() for key in _KEYS[:20] for each in kit.write(topic, [b"v"], key=key)]
            for _ in range(2)
        )
        assert first == second == [zlib.crc32(key) % _PARTITIONS for key in _KEYS[:20]]

    @pytest.mark.parametrize("key", [None, b""], ids=["null", "empty"])
    def test_messages_without_key_are_spread(self, kit: Kit, key: bytes | None) -> None:
        topic = kit.topic(_PARTITIONS)
        # A sticky partitioner would keep together what comes within its linger.
        producer = kit.producer({"linger.ms": 0, "sticky.partitioning.linger.ms": 0})
        reports = Reports()
        send = producer.sender(topic)
        for _ in range(40):
            send(b"v", key, -1, reports)
            assert producer.flush(PATIENCE) == 0
        used = Counter(message.partition() for message in reports.messages)
        assert sum(used.values()) == 40
        assert len(used) >= 3

    @pytest.mark.parametrize("partitioner", ["consistent", "consistent_random"])
    def test_consistent_partitioners(self, kit: Kit, partitioner: str) -> None:
        expected = [zlib.crc32(key) % _PARTITIONS for key in _KEYS[:50]]
        try:
            assert _spread(kit, {"partitioner": partitioner}, list(_KEYS[:50])) == expected
        except UnsupportedFeature as refused:
            assert "partitioner" in str(refused)

    @pytest.mark.parametrize("partitioner", ["murmur2", "murmur2_random"])
    def test_murmur2_is_that_of_the_java_client(self, kit: Kit, partitioner: str) -> None:
        # Kafka's own test vectors (UtilsTest.testMurmur2), here without their sign bit.
        assert murmur2(b"21") & 0x7FFFFFFF == -973932308 & 0x7FFFFFFF
        assert murmur2(b"foobar") & 0x7FFFFFFF == -790332482 & 0x7FFFFFFF
        expected = [(murmur2(key) & 0x7FFFFFFF) % _PARTITIONS for key in _KEYS[:50]]
        try:
            assert _spread(kit, {"partitioner": partitioner}, list(_KEYS[:50])) == expected
        except UnsupportedFeature as refused:
            assert "partitioner" in str(refused)
