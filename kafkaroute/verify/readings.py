"""What one consumer process read, in a file that outlives its SIGKILL.

A record is what one call brought: the time, how many messages, then two numbers for each: who it
is (producer and sequence number) and where it lay (late or not, place, partition, offset).
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Batch", "ReadingsFile", "identity", "position", "read_batches"]

_HEAD = struct.Struct("=dI")
_NUMBER_BITS = 40
_OFFSET_BITS = 40
_PARTITION_BITS = 12
_PLACE_BITS = 8
LATE = 1 << 62


def identity(producer: int, number: int) -> int:
    return producer << _NUMBER_BITS | number


def position(place: int, partition: int, offset: int) -> int:
    return (place << _PARTITION_BITS | partition) << _OFFSET_BITS | offset


@dataclass(slots=True)
class Batch:
    """Messages read at `at` (time.monotonic()); `who` and `where` have one number each."""

    at: float
    who: array[int]
    where: array[int]
    member: int = 0


def split_identity(who: int) -> tuple[int, int]:
    """(producer, sequence number)."""
    return who >> _NUMBER_BITS, who & ((1 << _NUMBER_BITS) - 1)


def place_of(where: int) -> int:
    return where >> (_PARTITION_BITS + _OFFSET_BITS) & ((1 << _PLACE_BITS) - 1)


class ReadingsFile:
    """The writer's side: each batch is one write(), which the kernel keeps if the process dies."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, batch: Batch) -> None:
        head = _HEAD.pack(batch.at, len(batch.who))
        data = head + batch.who.tobytes() + batch.where.tobytes()
        while data:
            data = data[os.write(self._descriptor, data) :]

    def close(self) -> None:
        os.close(self._descriptor)


def read_batches(path: Path, member: int) -> Iterator[Batch]:
    """The batches of a file; one that its writer's end cut short is left out."""
    if not path.exists():
        return
    with path.open("rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            at, count = _HEAD.unpack(head)
            who, where = array("Q"), array("Q")
            if len(data := file.read(16 * count)) < 16 * count:
                return
            who.frombytes(data[: 8 * count])
            where.frombytes(data[8 * count :])
            yield Batch(at, who, where, member)
