"""How an accepted message gets into kafka-python's buffers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from kafkaroute.backend.contract import DeliveryCallback, HeadersInput, Sender
from kafkaroute.errors import UnsupportedFeature

from ..internals import may_be_fast
from ..library import KafkaPartition
from ..loose import Number
from .reports import Entry, Outcome, Reports

__all__ = [
    "Appender",
    "PublicAppender",
    "kafka_partition",
    "make_appender",
    "without_nulls",
]

Pairs = list[tuple[str, bytes | None]]


class Appender(Protocol):
    """Queues one message for a partition that exists; raises kafka-python's errors."""

    def __call__(
        self,
        partition: Any,
        timestamp: Number,
        key: bytes | None,
        value: bytes | None,
        headers: Pairs,
        entry: Entry,
        accepted_at: float,
        /,
    ) -> None: ...


def make_appender(native: Any, reports: Reports, batch_messages: int) -> Appender:
    """The fast appender if this kafka-python has what it takes, else the public one."""
    if may_be_fast():
        from ..fast.appender import LeanAppender

        try:
            return LeanAppender(native, reports, batch_messages)
        except UnsupportedFeature:
            pass  # of a version that is made otherwise: its documented calls do the work
    return PublicAppender(native, reports)


class PublicAppender:
    """Appends with ``KafkaProducer.send()`` and a pair of callbacks per record."""

    def __init__(self, native: Any, reports: Reports) -> None:
        self._send: Callable[..., Any] = native.send
        self._reports = reports

    def __call__(
        self,
        partition: Any,
        timestamp: Number,
        key: bytes | None,
        value: bytes | None,
        headers: Pairs,
        entry: Entry,
        accepted_at: float,  # the library counts from now
        /,
    ) -> None:
        _refuse_nulls(value, key, headers)
        topic, number = partition
        reports = self._reports

        def delivered(metadata: Any) -> None:
            outcome = Outcome(topic, number, metadata.offset, -1, None)
            reports.settle(outcome, (entry,))

        def failed(exc: BaseException) -> None:
            reports.settle(Outcome(topic, number, -1, -1, lambda _: exc), (entry,))

        future = self._send(
            topic,
            value=value,
            key=key,
            headers=headers,
            partition=number,
            timestamp_ms=timestamp,
        )
        future.add_callback(delivered)
        future.add_errback(failed)


def without_nulls(send: Sender) -> Sender:
    """`send` that refuses at once what :class:`PublicAppender` cannot send."""

    def sender(
        value: bytes | str | None = None,
        key: bytes | str | None = None,
        partition: int = -1,
        on_delivery: DeliveryCallback | None = None,
        timestamp: int = 0,
        headers: HeadersInput | None = None,
        /,
    ) -> None:
        _refuse_nulls(value, key, headers)
        send(value, key, partition, on_delivery, timestamp, headers)

    return sender


def _refuse_nulls(value: object, key: object, headers: HeadersInput | None) -> None:
    if key is None and value is None:
        raise UnsupportedFeature("kafka-python's send() takes no message without key and value")
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    if any(header is None for _, header in pairs):
        raise UnsupportedFeature("kafka-python's send() takes no header without a value")


def kafka_partition(topic: str, partition: int) -> Any:
    """kafka-python's own TopicPartition (a named tuple)."""
    return KafkaPartition(topic, partition)
