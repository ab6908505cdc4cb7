"""librdkafka's partitioners, so that a key keeps its partition whichever backend is used."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeAlias
from zlib import crc32

__all__ = ["PARTITIONERS", "Partitioner", "fnv1a", "murmur2"]

#: (key, number of partitions) → partition, or -1 where any partition will do.
Partitioner: TypeAlias = Callable[[bytes | None, int], int]

_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Kafka's murmur2 (32 bits, seed 0x9747b28c), unsigned."""
    length = len(data)
    h = 0x9747B28C ^ length
    end = length & ~3
    for i in range(0, end, 4):
        k = int.from_bytes(data[i : i + 4], "little") * 0x5BD1E995 & _MASK
        k = (k ^ (k >> 24)) * 0x5BD1E995 & _MASK
        h = (h * 0x5BD1E995 & _MASK) ^ k
    if tail := data[end:]:
        h = (h ^ int.from_bytes(tail, "little")) * 0x5BD1E995 & _MASK
    h = (h ^ (h >> 13)) * 0x5BD1E995 & _MASK
    return h ^ (h >> 15)


def fnv1a(data: bytes) -> int:
    """FNV-1a, 32 bits, as a signed number made positive (so does Sarama)."""
    h = 0x811C9DC5
    for byte in data:
        h = (h ^ byte) * 0x01000193 & _MASK
    return (1 << 32) - h if h & 0x80000000 else h


def _random(_key: bytes | None, count: int) -> int:
    return random.randrange(count)


def _consistent(key: bytes | None, count: int) -> int:
    return crc32(key or b"") % count


def _consistent_random(key: bytes | None, count: int) -> int:
    return crc32(key) % count if key else -1


def _murmur2(key: bytes | None, count: int) -> int:
    return (murmur2(key or b"") & 0x7FFFFFFF) % count


def _murmur2_random(key: bytes | None, count: int) -> int:
    return -1 if key is None else (murmur2(key) & 0x7FFFFFFF) % count


def _fnv1a(key: bytes | None, count: int) -> int:
    return fnv1a(key or b"") % count


def _fnv1a_random(key: bytes | None, count: int) -> int:
    return -1 if key is None else fnv1a(key) % count


PARTITIONERS: dict[str, Partitioner] = {
    "random": _random,
    "consistent": _consistent,
    "consistent_random": _consistent_random,
    "murmur2": _murmur2,
    "murmur2_random": _murmur2_random,
    "fnv1a": _fnv1a,
    "fnv1a_random": _fnv1a_random,
}
