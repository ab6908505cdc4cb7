"""What goes into and comes out of kafka-python, in kafkaroute's types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kafkaroute.backend.contract import HeadersInput
from kafkaroute.messages import (
    BrokerMetadata,
    ClusterMetadata,
    KafkaError,
    PartitionMetadata,
    TopicMetadata,
)

__all__ = [
    "cluster_metadata",
    "to_bytes",
    "write_headers",
]


def to_bytes(data: object, what: str) -> bytes:
    """`data` as bytes; text is encoded as UTF-8. Others, and subclasses, are copied."""
    if data.__class__ is bytes:
        return data
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise TypeError(f"{what} must be bytes, str or None, not {type(data).__name__}")


def write_headers(headers: HeadersInput) -> list[tuple[str, bytes | None]]:
    """The (name, bytes or None) pairs that the record format holds.

    Raises TypeError for anything but a mapping or a sequence of pairs with str names.
    """
    pairs: Iterable[Any] = headers.items() if isinstance(headers, Mapping) else headers
    written: list[tuple[str, bytes | None]] = []
    for pair in pairs:
        if not isinstance(pair, Sequence) or isinstance(pair, str | bytes) or len(pair) != 2:
            raise TypeError("a header must be a (name, value) pair")
        name, value = pair
        if not isinstance(name, str):
            raise TypeError(f"a header's name must be str, not {type(name).__name__}")
        written.append((name, None if value is None else to_bytes(value, "a header's value")))
    return written


def cluster_metadata(response: Any, asked: str) -> ClusterMetadata:
    """A MetadataResponse as ClusterMetadata."""
    topics: dict[str, TopicMetadata] = {}
    for topic in response.topics:
        partitions = {
            part.partition_index: PartitionMetadata(
                id=part.partition_index,
                leader=part.leader_id,
                replicas=list(part.replica_nodes),
                isrs=list(part.isr_nodes),
                error=KafkaError(part.error_code) if part.error_code else None,
            )
            for part in topic.partitions
        }
        error = KafkaError(topic.error_code) if topic.error_code else None
        topics[topic.name] = TopicMetadata(topic.name, partitions, error)
    brokers = {
        broker.node_id: BrokerMetadata(broker.node_id, broker.host, broker.port)
        for broker in response.brokers
    }
    controller = response.controller_id
    return ClusterMetadata(
        cluster_id=response.cluster_id,
        controller_id=-1 if controller is None else controller,
        brokers=brokers,
        topics=topics,
        orig_broker_name=asked,
    )
