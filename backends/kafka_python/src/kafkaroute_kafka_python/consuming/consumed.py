"""Consumed messages. Compiled in wheels for a platform.

What the library hands over is not narrowed here (Any): compiled code checks what it declares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

from kafkaroute.messages import TIMESTAMP_NOT_AVAILABLE, Origin, accept_native

__all__ = ["UNKNOWN_TIME", "ConsumedMessage", "consumed", "read_epoch"]

#: What Message.timestamp() says where there is none.
UNKNOWN_TIME: Final[Any] = (TIMESTAMP_NOT_AVAILABLE, -1)


@final
class ConsumedMessage:
    """Counts as :class:`kafkaroute.Message` without inheriting its fields, which compiled code would
    set much slower than its own. They are set from outside, one by one: a call with eleven arguments
    for each message costs more. Its origin is set when it is delivered."""

    __slots__ = (
        *("_headers", "_key", "_leader_epoch", "_offset", "_origin", "_partition"),
        *("_timestamp", "_topic", "_value"),
    )

    _topic: str
    _partition: int
    _offset: int
    _key: Any
    _value: Any
    _headers: Any
    _timestamp: Any
    _leader_epoch: Any
    _origin: Any

    def channel(self) -> str | None:
        origin = self._origin
        return None if origin is None else origin.channel

    def origin(self) -> Origin | None:
        return self._origin  # type: ignore[no-any-return]  # an Origin, which is not compiled

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def key(self) -> Any:
        return self._key

    def value(self) -> Any:
        return self._value

    def headers(self) -> Any:
        return self._headers

    def error(self) -> None:
        return None

    def timestamp(self) -> Any:
        return self._timestamp

    def latency(self) -> None:
        return None

    def leader_epoch(self) -> Any:
        return self._leader_epoch

    def __len__(self) -> int:
        value = self._value
        return 0 if value is None else len(value)

    def __repr__(self) -> str:
        # Neither key nor value: messages are logged, and payloads are nobody's business there.
        where = f"{self._topic}[{self._partition}]@{self._offset}"
        return f"<Message {self.channel() or ''} {where} error=None>"

    def __reduce__(self) -> tuple[Callable[..., ConsumedMessage], tuple[Any, ...]]:
        # Compiled classes are not copied and pickled by themselves.
        fields = (
            *(self._topic, self._partition, self._offset, self._key, self._value, self._headers),
            *(self._timestamp, self._leader_epoch, self._origin),
        )
        return _restored, fields


accept_native(message=ConsumedMessage)


def _restored(
    topic: str,
    partition: int,
    offset: int,
    key: Any,
    value: Any,
    headers: Any,
    timestamp: Any,
    leader_epoch: Any,
    origin: Any,
) -> ConsumedMessage:
    message = ConsumedMessage()
    message._topic = topic
    message._partition = partition
    message._offset = offset
    message._key = key
    message._value = value
    message._headers = headers
    message._timestamp = timestamp
    message._leader_epoch = leader_epoch
    message._origin = origin
    return message


def consumed(record: Any) -> ConsumedMessage:
    """A ConsumerRecord as a message, without its origin."""
    message = ConsumedMessage()
    message._topic = record.topic
    message._partition = record.partition
    message._offset = record.offset
    message._key = record.key
    message._value = record.value
    # As librdkafka presents them: None where there are none.
    message._headers = list(record.headers) if record.headers else None
    timestamp = record.timestamp
    if timestamp is None or timestamp < 0:
        message._timestamp = UNKNOWN_TIME
    else:
        # kafka-python numbers the kinds from 0, librdkafka from 1.
        message._timestamp = (record.timestamp_type + 1, timestamp)
    message._leader_epoch = read_epoch(record.leader_epoch)
    message._origin = None
    return message


def read_epoch(epoch: int | None) -> int | None:
    """As librdkafka presents it: None where there is none."""
    return epoch if epoch is not None and epoch >= 0 else None
