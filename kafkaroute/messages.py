"""Messages, partitions and errors as every backend presents them.

Method names and numbers are confluent-kafka's, so that an application can change its import.
A backend may present its client's own objects instead, as long as they answer the same calls;
:func:`accept_native` makes ``isinstance`` agree.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .arguments import whole
from .error_codes import ERROR_NAMES

if TYPE_CHECKING:
    from .errors import KafkaException

__all__ = [
    "OFFSET_BEGINNING",
    "OFFSET_END",
    "OFFSET_INVALID",
    "OFFSET_STORED",
    "PARTITION_UA",
    "TIMESTAMP_CREATE_TIME",
    "TIMESTAMP_LOG_APPEND_TIME",
    "TIMESTAMP_NOT_AVAILABLE",
    "BrokerMetadata",
    "ClusterMetadata",
    "Headers",
    "KafkaError",
    "Message",
    "Origin",
    "PartitionMetadata",
    "TopicMetadata",
    "TopicPartition",
    "accept_native",
    "bare",
    "kafka_exception",
]

#: Logical offsets and the "no partition chosen" mark, from librdkafka's rdkafka.h.
OFFSET_BEGINNING = -2
OFFSET_END = -1
OFFSET_STORED = -1000
OFFSET_INVALID = -1001
PARTITION_UA = -1
#: What Kafka's protocol can hold as a partition's number and as an offset.
_INT32 = (-(2**31), 2**31 - 1)
_INT64 = (-(2**63), 2**63 - 1)

#: Kinds of message timestamp (KIP-32), numbered as in librdkafka.
TIMESTAMP_NOT_AVAILABLE = 0
TIMESTAMP_CREATE_TIME = 1
TIMESTAMP_LOG_APPEND_TIME = 2

Headers = list[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a consumed message came from; backends carry it and do not look inside.

    Attributes:
        channel: the channel's address as the application subscribed to it.
        place: identifies the native consumer that delivered the message (set by the Router).
    """

    channel: str
    place: object = None


class _Codes(ABCMeta):
    """Gives the class its codes as attributes: ``KafkaError._TIMED_OUT``."""

    if TYPE_CHECKING:  # they are set below, from the table

        def __getattr__(cls, name: str) -> int: ...


class KafkaError(metaclass=_Codes):
    """An error or event that a Kafka client reported. Compare ``code()`` with the class's names."""

    __slots__ = ("_code", "_fatal", "_reason", "_retriable", "_txn_requires_abort")

    def __init__(
        self,
        code: int,
        reason: str | None = None,
        fatal: bool = False,
        retriable: bool = False,
        txn_requires_abort: bool = False,
    ) -> None:
        self._code = code
        self._reason = reason
        self._fatal = fatal
        self._retriable = retriable
        self._txn_requires_abort = txn_requires_abort

    def code(self) -> int:
        return self._code

    def name(self) -> str:
        return ERROR_NAMES.get(self._code, f"ERR_{self._code}")

    def str(self) -> str:
        if self._reason:
            return self._reason
        side = "Local" if self._code < 0 else "Broker"
        return f"{side}: {self.name().strip('_').lower().replace('_', ' ')}"

    def fatal(self) -> bool:
        return self._fatal

    def retriable(self) -> bool:
        return self._retriable

    def txn_requires_abort(self) -> bool:
        return self._txn_requires_abort

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            return self._code == other
        if isinstance(other, KafkaError):
            return bool(self._code == other.code())
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._code)

    def __str__(self) -> str:  # type: ignore[valid-type]  # `str` is shadowed by the method above
        return f"KafkaError{{code={self.name()},val={self._code},str={self.str()!r}}}"

    __repr__ = __str__


for _number, _name in ERROR_NAMES.items():
    setattr(KafkaError, _name, _number)


class Message(metaclass=ABCMeta):  # noqa: B024  # for register(), not for abstract methods
    """A consumed message, a delivered one, or an event (``error()`` is not None).

    ``None`` and empty values are messages like any other: test ``msg is not None``.
    """

    __slots__ = (
        "_error",
        "_headers",
        "_key",
        "_latency",
        "_leader_epoch",
        "_offset",
        "_origin",
        "_partition",
        "_timestamp",
        "_topic",
        "_value",
    )

    def __init__(
        self,
        topic: str | None = None,
        partition: int | None = None,
        offset: int | None = None,
        key: bytes | None = None,
        value: bytes | None = None,
        headers: Headers | None = None,
        error: KafkaError | None = None,
        timestamp: tuple[int, int] = (TIMESTAMP_NOT_AVAILABLE, -1),
        latency: float | None = None,
        leader_epoch: int | None = None,
        origin: Origin | None = None,
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._offset = offset
        self._key = key
        self._value = value
        self._headers = headers
        self._error = error
        self._timestamp = timestamp
        self._latency = latency
        self._leader_epoch = leader_epoch
        self._origin = origin

    def channel(self) -> str | None:
        """The channel this message was read from; None for an event of no one channel."""
        return None if self._origin is None else self._origin.channel

    def origin(self) -> Origin | None:
        """Which native consumer delivered the message (used by commit and seek)."""
        return self._origin

    def topic(self) -> str | None:
        return self._topic

    def partition(self) -> int | None:
        return self._partition

    def offset(self) -> int | None:
        return self._offset

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Headers | None:
        return self._headers

    def error(self) -> KafkaError | None:
        return self._error

    def timestamp(self) -> tuple[int, int]:
        """(kind, milliseconds since the epoch); kind is one of ``TIMESTAMP_*``."""
        return self._timestamp

    def latency(self) -> float | None:
        """Seconds from produce() to acknowledgement; None on consumed messages."""
        return self._latency

    def leader_epoch(self) -> int | None:
        return self._leader_epoch

    def __len__(self) -> int:
        value = self.value()
        return 0 if value is None else len(value)

    def __repr__(self) -> str:
        # Neither key nor value: messages are logged, and payloads are nobody's business there.
        where = f"{self.topic()}[{self.partition()}]@{self.offset()}"
        return f"<Message {self.channel() or ''} {where} error={self.error()}>"


class TopicPartition:
    """One partition of a channel (or, bare, of a topic), with an offset.

    Args:
        topic: a channel address (it holds ``://``) or a topic's name. A bare topic name is
            accepted where it can mean only one cluster.
        partition: number, or -1.
        offset: absolute, or one of ``OFFSET_*``.
        metadata: text committed beside the offset.
        leader_epoch: of the message at the offset (KIP-320).
        channel: the channel, when `topic` is the topic's name.

    Raises:
        TypeError, ValueError: a number that Kafka's protocol cannot hold; names it.

    Attributes:
        error: a :class:`KafkaError` of this partition alone, or None.
        place: which native consumer it belongs to, where a Consumer gave it out: of a channel that
            moves, one partition number means two partitions. Not part of equality.
    """

    __slots__ = (
        "channel",
        "error",
        "leader_epoch",
        "metadata",
        "offset",
        "partition",
        "place",
        "topic",
    )

    def __init__(
        self,
        topic: str,
        partition: int = PARTITION_UA,
        offset: int = OFFSET_INVALID,
        metadata: str | None = None,
        leader_epoch: int | None = None,
        *,
        channel: str | None = None,
        error: KafkaError | None = None,
    ) -> None:
        if channel is None and "://" in topic:
            channel, topic = topic, ""
        self.topic = topic
        self.partition = whole("partition", partition, *_INT32)
        self.offset = whole("offset", offset, *_INT64)
        self.metadata = metadata
        self.leader_epoch = (
            None if leader_epoch is None else whole("leader_epoch", leader_epoch, *_INT32)
        )
        self.channel = channel
        self.error = error
        self.place: object = None

    def _identity(self) -> tuple[str, int]:
        return (self.channel or self.topic, self.partition)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TopicPartition):
            return NotImplemented
        return self._identity() == other._identity()

    def __lt__(self, other: TopicPartition) -> bool:
        return self._identity() < other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        name = f"{self.channel} ({self.topic})" if self.channel and self.topic else self.channel
        error = f", error={self.error}" if self.error is not None else ""
        return f"TopicPartition({name or self.topic}[{self.partition}]@{self.offset}{error})"


def bare(partition: TopicPartition, topic: str) -> TopicPartition:
    """`partition` as a native client wants it: with `topic` and no channel."""
    return TopicPartition(
        topic,
        partition.partition,
        partition.offset,
        partition.metadata,
        partition.leader_epoch,
    )


class BrokerMetadata(NamedTuple):
    id: int
    host: str
    port: int


@dataclass(slots=True)
class PartitionMetadata:
    id: int
    leader: int
    replicas: Sequence[int] = ()
    isrs: Sequence[int] = ()
    error: KafkaError | None = None


@dataclass(slots=True)
class TopicMetadata:
    topic: str
    partitions: dict[int, PartitionMetadata]
    error: KafkaError | None = None


@dataclass(slots=True)
class ClusterMetadata:
    """What ``list_topics()`` answers, by any backend."""

    cluster_id: str | None
    controller_id: int
    brokers: dict[int, BrokerMetadata]
    topics: dict[str, TopicMetadata]
    orig_broker_name: str = ""


def accept_native(*, error: type | None = None, message: type | None = None) -> None:
    """Let a client's own error and message types count as kafkaroute's in ``isinstance``."""
    if error is not None:
        KafkaError.register(error)
    if message is not None:
        Message.register(message)


def kafka_exception(code: int, reason: str | None = None, **flags: bool) -> KafkaException:
    """A :class:`KafkaException` around a new :class:`KafkaError`."""
    from .errors import KafkaException

    return KafkaException(KafkaError(code, reason, **flags))
