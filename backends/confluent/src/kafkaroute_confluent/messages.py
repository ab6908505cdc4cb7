"""Conversions between confluent-kafka's objects and kafkaroute's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import confluent_kafka

from kafkaroute.messages import (
    BrokerMetadata,
    ClusterMetadata,
    Headers,
    KafkaError,
    Origin,
    PartitionMetadata,
    TopicMetadata,
    TopicPartition,
    accept_native,
)

__all__ = [
    "ConsumedMessage",
    "to_cluster_metadata",
    "to_native_partition",
    "to_native_partitions",
    "to_partitions",
]


class ConsumedMessage:
    """A native message that knows its origin.

    Counts as :class:`kafkaroute.Message` without inheriting its fields. One is made for every
    message consumed, so it is as cheap as can be: no ``__init__`` (its two fields are set by the
    consumer; a third less time) and no ``__getattr__`` (with one, CPython 3.11 does not
    specialise attribute access; half as fast).
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

    def topic(self) -> str | None:
        return self._native.topic()  # type: ignore[no-any-return]

    def partition(self) -> int | None:
        return self._native.partition()  # type: ignore[no-any-return]

    def offset(self) -> int | None:
        return self._native.offset()  # type: ignore[no-any-return]

    def key(self) -> bytes | None:
        return self._native.key()  # type: ignore[no-any-return]

    def value(self) -> bytes | None:
        return self._native.value()  # type: ignore[no-any-return]

    def headers(self) -> Headers | None:
        return self._native.headers()  # type: ignore[no-any-return]

    def error(self) -> KafkaError | None:
        return self._native.error()  # type: ignore[no-any-return]

    def timestamp(self) -> tuple[int, int]:
        return self._native.timestamp()  # type: ignore[no-any-return]

    def latency(self) -> float | None:
        return self._native.latency()  # type: ignore[no-any-return]

    def leader_epoch(self) -> int | None:
        return self._native.leader_epoch()  # type: ignore[no-any-return]

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


accept_native(message=confluent_kafka.Message)
accept_native(message=ConsumedMessage)


def to_native_partition(partition: TopicPartition) -> Any:
    # The native constructor takes no None.
    optional: dict[str, Any] = {}
    if partition.metadata is not None:
        optional["metadata"] = partition.metadata
    if partition.leader_epoch is not None:
        optional["leader_epoch"] = partition.leader_epoch
    return confluent_kafka.TopicPartition(
        partition.topic, partition.partition, partition.offset, **optional
    )


def to_native_partitions(partitions: Iterable[TopicPartition]) -> list[Any]:
    return [to_native_partition(partition) for partition in partitions]


def to_partitions(natives: Iterable[Any]) -> list[TopicPartition]:
    return [
        TopicPartition(
            native.topic,
            native.partition,
            native.offset,
            _metadata(native),
            native.leader_epoch,
            error=native.error,
        )
        for native in natives
    ]


def _metadata(native: Any) -> str | None:
    """The committed metadata. librdkafka does not always end it where it ends, and what stands
    behind it in memory may be anything (seen; confluentinc/librdkafka#4649 tells of the same)."""
    try:
        return native.metadata  # type: ignore[no-any-return]
    except UnicodeDecodeError as error:
        return error.object[: error.start].decode()


def to_cluster_metadata(native: Any) -> ClusterMetadata:
    return ClusterMetadata(
        cluster_id=native.cluster_id,
        controller_id=native.controller_id,
        brokers={
            number: BrokerMetadata(broker.id, broker.host, broker.port)
            for number, broker in native.brokers.items()
        },
        topics={name: _to_topic(topic) for name, topic in native.topics.items()},
        orig_broker_name=native.orig_broker_name or "",
    )


def _to_topic(native: Any) -> TopicMetadata:
    return TopicMetadata(
        native.topic,
        {
            number: PartitionMetadata(
                partition.id,
                partition.leader,
                tuple(partition.replicas),
                tuple(partition.isrs),
                partition.error,
            )
            for number, partition in native.partitions.items()
        },
        native.error,
    )
