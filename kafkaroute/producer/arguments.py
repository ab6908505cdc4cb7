"""What produce() takes besides a payload, checked before a message is queued: a value that a record
cannot hold would fail the batch that it is in, with the messages of others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..arguments import whole
from ..backend.contract import HeadersInput
from ..loose import Number

__all__ = ["check_callback", "fit", "is_partition"]

#: Partition numbers have 32 bits in Kafka's protocol.
_LAST_PARTITION = 2**31 - 1
#: Milliseconds. Records hold the distance from their batch's first time stamp, in 64 bits.
_LAST_TIME = 2**62

_Pair = tuple[str, bytes | None]
#: Names of headers that were looked at, and how many are remembered.
_names: set[str] = set()
_MOST_NAMES = 1000


def is_partition(number: object) -> bool:
    """Whether it is the number of one partition, as it is."""
    return number.__class__ is int and 0 <= number <= _LAST_PARTITION


def check_callback(callback: object) -> None:
    """Raises TypeError for what is no function."""
    if not callable(callback):
        raise TypeError(f"callback must be a function, not {type(callback).__name__}")


def fit(
    partition: Number, timestamp: Number | None, headers: HeadersInput | None
) -> tuple[int, int, list[_Pair] | None]:
    """The three as every client takes them.

    Raises:
        TypeError, ValueError: one that no record can hold; names it.
    """
    if partition != -1:
        partition = whole("partition", partition, -1, _LAST_PARTITION)
    if timestamp:
        timestamp = whole("timestamp", timestamp, -_LAST_TIME, _LAST_TIME)
    return partition, timestamp or 0, None if headers is None else _headers(headers)


def _headers(headers: Any) -> list[_Pair]:
    # First what nearly all headers are: looking closer costs a microsecond each.
    if headers.__class__ is list:
        try:
            for pair in headers:
                name, value = pair
                if (
                    name not in _names
                    or value.__class__ is not bytes
                    or pair.__class__ is not tuple
                ):
                    break
            else:
                return headers  # senders copy it
        except (TypeError, ValueError):
            pass  # said below, by name
    return _checked(headers)


def _checked(headers: Any) -> list[_Pair]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    if isinstance(pairs, str | bytes) or not isinstance(pairs, Iterable):
        raise TypeError(
            f"headers must be a mapping or (name, value) pairs, not {type(headers).__name__}"
        )
    return [_header(pair) for pair in pairs]


def _header(pair: Any) -> _Pair:
    if not isinstance(pair, Sequence) or isinstance(pair, str | bytes) or len(pair) != 2:
        raise TypeError("headers must be a mapping or (name, value) pairs")
    name, value = pair
    if not isinstance(name, str):
        raise TypeError(f"a header's name must be str, not {type(name).__name__}")
    if not name.isascii():
        _encoded("name", name)
    if "\0" in name:
        raise ValueError("a header's name must not hold a NUL character: clients cut it there")
    if len(_names) < _MOST_NAMES:
        _names.add(str(name))
    return name, _value(value)


def _value(value: Any) -> bytes | None:
    if value is None or value.__class__ is bytes:
        return value
    if isinstance(value, str):
        return _encoded("value", value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"a header's value must be bytes, str or None, not {type(value).__name__}")


def _encoded(what: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"a header's {what} holds half a character (a lone surrogate)") from error
