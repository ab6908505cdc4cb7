"""What a backend must provide.

A backend does the Kafka work for one client library. It is a subclass of :class:`Backend`, named
by an entry point in the group ``kafkaroute.backends``, instantiated once without arguments.
Settings arrive under librdkafka's canonical dotted names, as strings, numbers or booleans
(callables only from the application), and defaults are librdkafka's: a backend over another
client writes them out, so that an application may change the backend and nothing else.

A backend knows topics, never channels: kafkaroute maps between the two. Errors are
:class:`kafkaroute.KafkaException` around a :class:`kafkaroute.KafkaError`, ``BufferError`` for a
full local queue, :class:`kafkaroute.UnsupportedFeature` for a setting or call that the backend
cannot honour (named in the text; never ignored) and :class:`kafkaroute.ClosedError` after close.

Timeouts are in seconds, as floats; -1 waits for ever.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from ..errors import UnsupportedFeature
from ..messages import ClusterMetadata, Headers, KafkaError, Message, Origin, TopicPartition
from .settings_keys import ConfigValue
from .speed import ConsumerSpeed, NativeSender, ProducerSpeed

__all__ = [
    "CONTRACT_VERSION",
    "AssignmentCallback",
    "Backend",
    "BackendConsumer",
    "BackendProducer",
    "Capability",
    "DeliveryCallback",
    "HeadersInput",
    "NativeSender",
    "Sender",
]

#: Grows when a backend written for an older contract would no longer work.
CONTRACT_VERSION = 1

DeliveryCallback: TypeAlias = "Callable[[KafkaError | None, Message], Any]"
AssignmentCallback: TypeAlias = Callable[[list[TopicPartition]], None]
HeadersInput: TypeAlias = (
    "Headers | Sequence[tuple[str, str | bytes | None]] | Mapping[str, str | bytes | None]"
)


class Capability(StrEnum):
    """What a backend may leave out. An undeclared one must raise UnsupportedFeature when used."""

    TRANSACTIONS = "transactions"
    PURGE = "purge"
    SET_SASL_CREDENTIALS = "set-sasl-credentials"
    COOPERATIVE_REBALANCE = "cooperative-rebalance"
    OFFSETS_FOR_TIMES = "offsets-for-times"
    STATIC_MEMBERSHIP = "static-membership"
    TLS = "tls"
    SASL_PLAIN = "sasl-plain"
    SASL_SCRAM = "sasl-scram"
    HEADERS = "headers"
    NULL_KEY_AND_VALUE = "null-key-and-value"
    NULL_HEADER_VALUES = "null-header-values"


class Sender(Protocol):
    """Produces to one topic. Called positionally, from any thread, on the hot path.

    `value` and `key` are bytes, str (UTF-8 encoded) or None; `partition` is -1 for the
    partitioner's choice; `timestamp` is milliseconds since the epoch, 0 for now.

    Raises BufferError (queue full) and KafkaException (``MSG_SIZE_TOO_LARGE``, ``_STATE``, …)
    at once; later failures reach `on_delivery`, from poll() or flush() on the caller's thread.
    """

    def __call__(
        self,
        value: bytes | str | None = None,
        key: bytes | str | None = None,
        partition: int = -1,
        on_delivery: DeliveryCallback | None = None,
        timestamp: int = 0,
        headers: HeadersInput | None = None,
        /,
    ) -> None: ...


class BackendProducer(ProducerSpeed, ABC):
    """One native producer: one cluster, one set of settings. Thread-safe.

    What it may do for speed alone is in :class:`ProducerSpeed`.
    """

    @abstractmethod
    def sender(self, topic: str) -> Sender:
        """A callable bound to `topic`. Cheap, never blocks, needs no broker."""

    @abstractmethod
    def poll(self, timeout: float) -> int:
        """Serve delivery callbacks on this thread; return how many events were served."""

    @abstractmethod
    def flush(self, timeout: float) -> int:
        """Serve callbacks until nothing is in flight or `timeout` passed; return what remains."""

    @abstractmethod
    def __len__(self) -> int:
        """Messages not yet delivered, or whose callback is not yet served. May count other events
        that wait for poll(), too, but is 0 only when nothing is owed."""

    @abstractmethod
    def list_topics(self, topic: str | None, timeout: float) -> ClusterMetadata:
        """Ask the cluster (its id, brokers and topics)."""

    @abstractmethod
    def close(self, timeout: float) -> int:
        """Flush for up to `timeout`, fail what is left, free the client; return what was failed.
        Safe to call twice."""

    def purge(self, in_queue: bool, in_flight: bool, blocking: bool) -> None:
        """Fail undelivered messages with ``_PURGE_QUEUE`` / ``_PURGE_INFLIGHT``."""
        raise UnsupportedFeature(f"{type(self).__module__} has no purge()")

    def set_sasl_credentials(self, username: str, password: str) -> None:
        """Replace user name and password on the live client."""
        raise UnsupportedFeature(f"{type(self).__module__} has no set_sasl_credentials()")

    def init_transactions(self, timeout: float) -> None:
        """Get the producer id of ``transactional.id``, which fences every earlier owner of it
        (KIP-98). Raises KafkaException, whose error may be ``retriable()``."""
        raise UnsupportedFeature(f"{type(self).__module__} has no transactions")

    def begin_transaction(self) -> None:
        """What is produced from now on is of one transaction. Asks no broker. KafkaException
        ``_STATE`` before init_transactions() and inside another one."""
        raise UnsupportedFeature(f"{type(self).__module__} has no transactions")

    def commit_transaction(self, timeout: float) -> None:
        """Flush, serving delivery callbacks, and commit. KafkaException: as librdkafka's, whose
        error tells ``retriable()``, ``txn_requires_abort()`` or ``fatal()`` (fenced)."""
        raise UnsupportedFeature(f"{type(self).__module__} has no transactions")

    def abort_transaction(self, timeout: float) -> None:
        """Fail what is not delivered with ``_PURGE_QUEUE`` or ``_PURGE_INFLIGHT``, and abort.
        KafkaException as commit_transaction()."""
        raise UnsupportedFeature(f"{type(self).__module__} has no transactions")

    def send_offsets_to_transaction(
        self, offsets: Sequence[TopicPartition], group_metadata: object, timeout: float
    ) -> None:
        """Commit `offsets` of a consumer group with the transaction (KIP-447).

        `group_metadata` is what the same backend's consumer_group_metadata() returned.
        KafkaException as commit_transaction()."""
        raise UnsupportedFeature(f"{type(self).__module__} has no transactions")


class BackendConsumer(ConsumerSpeed, ABC):
    """One native consumer: one cluster, one group. Used by one thread at a time.

    What it may do for speed alone is in :class:`ConsumerSpeed`.

    `origins` (given to :meth:`Backend.open_consumer`) maps topic → :class:`Origin`; it is live,
    and every message's ``origin()`` is looked up in it when the message is delivered.

    Offsets: with ``enable.auto.commit`` only messages that poll() or consume() returned are
    committed. Rebalance callbacks run inside poll(), consume(), unsubscribe() or close(), on the
    calling thread, on_revoke and on_lost never with an empty list; what a callback does not assign
    or unassign itself (assign, incremental_assign, unassign, incremental_unassign) is done when it
    returns.
    """

    @abstractmethod
    def subscribe(
        self,
        topics: Sequence[str],
        on_assign: AssignmentCallback | None,
        on_revoke: AssignmentCallback | None,
        on_lost: AssignmentCallback | None,
    ) -> None:
        """Replace the subscription (a name starting with ``^`` is a regular expression). Without
        `on_lost`, lost partitions are reported to `on_revoke`. `on_assign` comes with an empty list
        where the group has nothing for this member."""

    @abstractmethod
    def unsubscribe(self) -> None:
        """End the subscription and give its partitions back, with callbacks."""

    @abstractmethod
    def poll(self, timeout: float) -> Message | None:
        """One message or event, or None. Never raises for a broker's error: that is an event."""

    @abstractmethod
    def consume(self, num_messages: int, timeout: float) -> list[Message]:
        """Up to `num_messages` messages and events, as soon as they are there or time is up."""

    def gather(self, num_messages: int, timeout: float) -> int | None:
        """Fetch ahead until `num_messages` messages and events wait, or time is up; how many do, at
        most `num_messages`. They count as not delivered, as with ready(), until consume() hands
        them out: so a long call of an application commits nothing that it has not returned. None:
        this backend does not fetch ahead; what its consume() finds is then returned at once."""
        return None

    @abstractmethod
    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read exactly `partitions`, each from its ``offset`` (OFFSET_INVALID: where the group
        stands). KafkaException ``_STATE`` inside a cooperative rebalance."""

    @abstractmethod
    def unassign(self) -> None:
        """Read no partition any more; the subscription stays."""

    @abstractmethod
    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read `partitions`, too (KIP-429). KafkaException ``_STATE`` under an eager protocol."""

    @abstractmethod
    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read `partitions` no more (KIP-429). KafkaException ``_STATE`` under an eager protocol,
        ``_INVALID_ARG`` for one that is not assigned."""

    @abstractmethod
    def assignment(self) -> list[TopicPartition]:
        """What is read now. Asks no broker."""

    @abstractmethod
    def commit(
        self, offsets: Sequence[TopicPartition] | None, asynchronous: bool
    ) -> list[TopicPartition] | None:
        """Commit `offsets`, or what is stored (``_NO_OFFSET`` when nothing is). Synchronous:
        returns the committed partitions, each with its own ``error``; asynchronous: None."""

    @abstractmethod
    def store_offsets(self, offsets: Sequence[TopicPartition]) -> None:
        """Needs ``enable.auto.offset.store=false``, else ``_INVALID_ARG``; ``_STATE`` or
        ``_UNKNOWN_PARTITION`` for a partition that is not assigned."""

    @abstractmethod
    def committed(
        self, partitions: Sequence[TopicPartition], timeout: float
    ) -> list[TopicPartition]:
        """Committed offsets (OFFSET_INVALID where none), also of partitions not assigned here."""

    @abstractmethod
    def position(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Offset after the last delivered message, or that of a later event ``_PARTITION_EOF``
        (which may be behind markers of transactions); OFFSET_INVALID before the first."""

    @abstractmethod
    def seek(self, partition: TopicPartition) -> None:
        """Read on from ``partition.offset``, which may be OFFSET_BEGINNING or OFFSET_END.
        KafkaException ``_STATE`` or ``_UNKNOWN_PARTITION`` for what is not assigned."""

    @abstractmethod
    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """No message of these partitions is delivered after this returns, also where they go in a
        rebalance and come back, until resume(). What is not assigned cannot be paused: from a
        rebalance callback, pause after assign() or incremental_assign()."""

    @abstractmethod
    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Undo pause(), from position() on. Nothing happens to what is not paused."""

    @abstractmethod
    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float, cached: bool
    ) -> tuple[int, int]:
        """(low, high); high is the last stable offset under read_committed, unless cached."""

    @abstractmethod
    def offsets_for_times(
        self, partitions: Sequence[TopicPartition], timeout: float
    ) -> list[TopicPartition]:
        """`offset` holds milliseconds since the epoch; answers the first offset at or after it,
        OFFSET_END past the end."""

    @abstractmethod
    def list_topics(self, topic: str | None, timeout: float) -> ClusterMetadata:
        """As :meth:`BackendProducer.list_topics`."""

    @abstractmethod
    def consumer_group_metadata(self) -> object:
        """For a producer of the same backend: who commits offsets with its transaction
        (KIP-447). Asks no broker."""

    @abstractmethod
    def memberid(self) -> str | None:
        """The id that the coordinator gave this member; None before it joined."""

    @abstractmethod
    def close(self) -> None:
        """Revoke (with callbacks), commit what auto-commit owes, leave the group, free the client.
        Safe to call twice. Never called while another thread is inside a call."""

    def put_back(self, partition: TopicPartition) -> None:
        """Deliver messages again, from ``partition.offset`` on, as if they had not been delivered:
        position() and every commit that follows, close() included, go no further until they are
        (a commit that was made goes back). Offsets that store_offsets() stored stay. A backend
        whose seek() does so as well needs no method of its own."""
        self.seek(partition)

    def set_sasl_credentials(self, username: str, password: str) -> None:
        """As :meth:`BackendProducer.set_sasl_credentials`."""
        raise UnsupportedFeature(f"{type(self).__module__} has no set_sasl_credentials()")


class Backend(ABC):
    """A driver for one Kafka client library.

    Attributes:
        name: the entry point's name.
        contract_version: the CONTRACT_VERSION the backend was written for.
        capabilities: what it supports beyond the contract's core.
    """

    name: str
    contract_version: int = CONTRACT_VERSION
    capabilities: frozenset[Capability] = frozenset()

    @abstractmethod
    def open_producer(
        self,
        config: Mapping[str, ConfigValue],
        *,
        on_failure: DeliveryCallback | None = None,
        only_failures: bool = False,
    ) -> BackendProducer:
        """Open a native producer; returns at once, connecting in the background.

        `on_failure` is called like a delivery callback, from poll(), flush() or close(), for each
        message that could not be delivered and had no callback of its own; the message tells
        topic, partition, key, value and latency(). (It may be called for delivered ones, too, with
        None for the error, unless `only_failures`.) The reports of one partition come in the order
        of its messages, or in blocks that are in order each, as a client has several queues; then
        now - latency() tells within a report which block is older. `only_failures` reports
        failures alone, to callbacks of single messages as well (librdkafka's
        ``delivery.report.only.error``): a success then costs nothing.

        Raises ConfigurationError or UnsupportedFeature naming the setting, KafkaException."""

    @abstractmethod
    def open_consumer(
        self, config: Mapping[str, ConfigValue], origins: Mapping[str, Origin]
    ) -> BackendConsumer:
        """Open a native consumer; ``group.id`` missing is a KafkaException ``_INVALID_ARG``."""

    @abstractmethod
    def check_config(self, config: Mapping[str, ConfigValue], *, consumer: bool) -> None:
        """Refuse what this backend cannot honour, without opening anything.

        Raises UnsupportedFeature or ConfigurationError naming the setting."""

    @abstractmethod
    def client_version(self) -> str:
        """Name and version of the client library, for people."""
