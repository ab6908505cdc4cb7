"""The records of one batch of message format v2 (KIP-98), each read into a Message once.

kafka-python makes three objects of a record, one behind the other, with a call for each number in
it: three quarters of the time that a consumer takes for a message. This is one loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kafkaroute.messages import Headers

from ..consuming.consumed import UNKNOWN_TIME, ConsumedMessage, read_epoch
from ..library import kp

__all__ = ["decode"]


def decode(batch: Any, topic: str, partition: int) -> Iterator[ConsumedMessage]:
    """The messages of a DefaultRecordBatch, without their origin.

    Raises:
        kafka.errors.CorruptRecordError: what stands there is no record.
    """
    iter(batch)  # decompresses
    data, at = bytes(batch._buffer), batch._pos
    base, first_time, kind = batch.base_offset, batch.first_timestamp, batch.timestamp_type + 1
    epoch = read_epoch(batch.leader_epoch)
    # Stamped by the broker: one time for the whole batch.
    logged = (kind, batch.max_timestamp) if batch.timestamp_type else None
    new = ConsumedMessage
    try:
        for _ in range(batch.records_count):
            # Numbers are zigzag-coded varints; most need one byte or two, and a call costs more than that.
            number = data[at]
            at += 1
            if number > 127:
                if (byte := data[at]) < 128:
                    number, at = number - 128 + (byte << 7), at + 1
                else:
                    number, at = _long(data, number, at)
            end = at + (number >> 1)
            number = data[at + 1]  # behind the attributes, which no version uses
            at += 2
            if number > 127:
                if (byte := data[at]) < 128:
                    number, at = number - 128 + (byte << 7), at + 1
                else:
                    number, at = _long(data, number, at)
            time = first_time + ((number >> 1) ^ -(number & 1))
            number = data[at]
            at += 1
            if number > 127:
                if (byte := data[at]) < 128:
                    number, at = number - 128 + (byte << 7), at + 1
                else:
                    number, at = _long(data, number, at)
            offset = base + ((number >> 1) ^ -(number & 1))
            number = data[at]
            at += 1
            if number > 127:
                if (byte := data[at]) < 128:
                    number, at = number - 128 + (byte << 7), at + 1
                else:
                    number, at = _long(data, number, at)
            if number & 1:
                key = None
            else:
                key = data[at : at + (number >> 1)]
                at += number >> 1
            number = data[at]
            at += 1
            if number > 127:
                if (byte := data[at]) < 128:
                    number, at = number - 128 + (byte << 7), at + 1
                else:
                    number, at = _long(data, number, at)
            if number & 1:
                value = None
            else:
                value = data[at : at + (number >> 1)]
                at += number >> 1
            headers = None
            if data[at]:
                headers, at = _headers(data, at)
            else:
                at += 1
            if at != end:
                raise _corrupt(f"a record ends at byte {at} instead of {end}")
            message = new()
            message._topic = topic
            message._partition = partition
            message._offset = offset
            message._key = key
            message._value = value
            message._headers = headers
            message._timestamp = logged or ((kind, time) if time >= 0 else UNKNOWN_TIME)
            message._leader_epoch = epoch
            message._origin = None
            yield message
    except (IndexError, UnicodeDecodeError):
        raise _corrupt("a record is cut off, or a header's name is no text") from None
    if at != len(data):
        raise _corrupt(f"{len(data) - at} bytes are left over")


def _corrupt(text: str) -> Exception:
    return kp.CorruptRecordError(text)  # type: ignore[no-any-return]


def _long(data: bytes, number: int, at: int) -> tuple[int, int]:
    """The rest of a varint that begins with the byte `number`; still zigzag-coded."""
    number &= 127
    shift = 7
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
        if shift > 63:
            raise _corrupt("a number is longer than 64 bits")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = data[at]
    at += 1
    if number > 127:
        number, at = _long(data, number, at)
    return (number >> 1) ^ -(number & 1), at


def _headers(data: bytes, at: int) -> tuple[Headers, int]:
    count, at = _varint(data, at)
    if count < 0:
        raise _corrupt(f"a record with {count} headers")
    headers: Headers = []
    for _ in range(count):
        length, at = _varint(data, at)
        if length < 0:
            raise _corrupt("a header without a name")
        name = data[at : at + length].decode()
        at += length
        length, at = _varint(data, at)
        value = data[at : at + length] if length >= 0 else None
        at += max(length, 0)
        headers.append((name, value))
    return headers, at
