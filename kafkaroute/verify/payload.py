"""What a message of a run carries: run, producer, key, sequence number, time."""

from __future__ import annotations

import struct
from zlib import crc32

__all__ = ["CODEC", "RUN_BYTES", "Payload", "key_name", "key_range"]

_MAGIC = b"kfrv"
RUN_BYTES = 8
#: producer, key, sequence number, seconds since the epoch.
CODEC = struct.Struct(">HIQd")
_AT = len(_MAGIC) + RUN_BYTES


class Payload:
    """Writes and reads the values of one run.

    Attributes:
        prefix: what values of this run begin with; others are foreign.
    """

    def __init__(self, run: str, size: int) -> None:
        self.prefix = _MAGIC + bytes.fromhex(run)
        self._padding = b"." * (size - _AT - CODEC.size)

    def pack(self, producer: int, key: int, number: int, at: float) -> bytes:
        return self.prefix + CODEC.pack(producer, key, number, at) + self._padding

    def unpack(self, value: bytes) -> tuple[int, int, int, float]:
        """(producer, key, sequence number, time) of a value that starts with the prefix."""
        producer, key, number, at = CODEC.unpack_from(value, _AT)
        return producer, key, number, at


def key_name(key: int) -> bytes:
    return b"key-%05d" % key


def key_range(key: int, partitions: int) -> int:
    """Which keys share a partition, as librdkafka's default partitioner would place them."""
    return crc32(key_name(key)) % max(1, partitions)
