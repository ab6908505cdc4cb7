"""What goes into and comes out of kafka-python, in kafkaroute's types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kafkaroute.backend.contract import HeadersInput
from kafkaroute.messages import (
    TIMESTAMP_NOT_AVAILABLE,
    BrokerMetadata,
    ClusterMetadata,
    Headers,
    KafkaError,
    Message,
    PartitionMetadata,
    TopicMetadata,
)

__all__ = [
    "UNKNOWN_TIME",
    "ConsumedMessage",
    "cluster_metadata",
    "consumed",
    "read_epoch",
    "read_headers",
    "to_bytes",
    "write_headers",
]

#: What Message.timestamp() says where there is none.
UNKNOWN_TIME = (TIMESTAMP_NOT_AVAILABLE, -1)


def to_bytes(data: object, what: str) -> bytes:
    """`data` as bytes; text is encoded as UTF-8. Mutable buffers are copied."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, bytearray | memoryview):
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


def read_headers(headers: Sequence[tuple[str, bytes | None]] | None) -> Headers | None:
    """As librdkafka presents them: None where there are none."""
    return list(headers) if headers else None


class ConsumedMessage(Message):
    """A Message whose fields are set one by one: a call with eleven arguments for each message
    costs more. Its origin is set when it is delivered."""

    __slots__ = ()

    _topic: str
    _offset: int

    if TYPE_CHECKING:

        def __init__(self) -> None: ...

    else:
        __init__ = object.__init__  # C, where Message has Python


def consumed(record: Any) -> ConsumedMessage:
    """A ConsumerRecord as a message, without its origin."""
    message = ConsumedMessage()
    message._topic = record.topic
    message._partition = record.partition
    message._offset = record.offset
    message._key = record.key
    message._value = record.value
    message._headers = read_headers(record.headers)
    message._error = None
    timestamp = record.timestamp
    if timestamp is None or timestamp < 0:
        message._timestamp = UNKNOWN_TIME
    else:
        # kafka-python numbers the kinds from 0, librdkafka from 1.
        message._timestamp = (record.timestamp_type + 1, timestamp)
    message._latency = None
    message._leader_epoch = read_epoch(record.leader_epoch)
    message._origin = None
    return message


def read_epoch(epoch: int | None) -> int | None:
    """As librdkafka presents it: None where there is none."""
    return epoch if epoch is not None and epoch >= 0 else None


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
