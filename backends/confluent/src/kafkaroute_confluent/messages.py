"""Conversions between confluent-kafka's objects and kafkaroute's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import confluent_kafka

from kafkaroute.messages import (
    BrokerMetadata,
    ClusterMetadata,
    PartitionMetadata,
    TopicMetadata,
    TopicPartition,
)

__all__ = [
    "to_cluster_metadata",
    "to_native_partition",
    "to_native_partitions",
    "to_partitions",
]


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
