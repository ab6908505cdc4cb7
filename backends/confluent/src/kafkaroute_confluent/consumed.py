"""Consumed messages: a native message that knows its origin. Compiled in wheels for a platform.

What native calls return is not narrowed here (Any): compiled code checks what it declares, and
deserializers put any object in the place of a key or a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, final

import confluent_kafka

from kafkaroute.messages import Origin, accept_native

__all__ = ["ConsumedMessage", "next_of", "wrapped"]


@final
class ConsumedMessage:
    """Counts as :class:`kafkaroute.Message` without inheriting its fields. One is made for every
    message consumed, so it is as cheap as can be: no ``__init__`` (its two fields are set from
    outside; a third less time) and no ``__getattr__`` (with one, CPython 3.11 does not specialise
    attribute access; half as fast).
    """

    __slots__ = ("_native", "_origin")

    _native: Any
    #: An Origin or None; or, resolved when asked for, the topics' origins at delivery.
    _origin: Any

    def origin(self) -> Origin | None:
        origin = self._origin
        if type(origin) is dict:
            origin = self._origin = origin.get(self._native.topic())
        return origin  # type: ignore[no-any-return]  # the one other type is ruled out above

    def channel(self) -> str | None:
        origin = self.origin()
        return None if origin is None else origin.channel

    def topic(self) -> Any:
        return self._native.topic()

    def partition(self) -> Any:
        return self._native.partition()

    def offset(self) -> Any:
        return self._native.offset()

    def key(self) -> Any:
        return self._native.key()

    def value(self) -> Any:
        return self._native.value()

    def headers(self) -> Any:
        return self._native.headers()

    def error(self) -> Any:
        return self._native.error()

    def timestamp(self) -> Any:
        return self._native.timestamp()

    def latency(self) -> Any:
        return self._native.latency()

    def leader_epoch(self) -> Any:
        return self._native.leader_epoch()

    # confluent-kafka's deserializers replace parts of a message.

    def set_key(self, key: Any) -> None:
        self._native.set_key(key)

    def set_value(self, value: Any) -> None:
        self._native.set_value(value)

    def set_headers(self, headers: Any) -> None:
        self._native.set_headers(headers)

    def __len__(self) -> int:
        return len(self._native)

    def __repr__(self) -> str:
        where = f"{self.topic()}[{self.partition()}]@{self.offset()}"
        return f"<Message {self.channel() or ''} {where} error={self.error()}>"

    def __reduce__(self) -> tuple[Callable[..., ConsumedMessage], tuple[Any, Any]]:
        return _copied, (self._native, self._origin)  # compiled ones are not copied without


accept_native(message=confluent_kafka.Message)
accept_native(message=ConsumedMessage)


def next_of(natives: Iterator[Any], origins: Any) -> ConsumedMessage | None:
    """The next of `natives`, with where it comes from; None at their end."""
    native = next(natives, None)
    if native is None:
        return None
    message = ConsumedMessage()
    message._native = native
    message._origin = origins.get(native.topic())
    return message


def _copied(native: Any, origin: Any) -> ConsumedMessage:
    message = ConsumedMessage()
    message._native = native
    message._origin = origin
    return message


def wrapped(natives: list[Any], origins: Any) -> list[Any]:
    """A message for each of `natives`; where they came from, `origins` tells when it is asked."""
    new = ConsumedMessage
    messages = []
    for native in natives:
        message = new()
        message._native = native
        message._origin = origins
        messages.append(message)
    return messages
