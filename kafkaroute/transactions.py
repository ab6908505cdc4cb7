"""A Producer's transactions: each lives on one cluster, chosen by its first produce()."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import Any

from .backend.contract import BackendProducer
from .errors import KafkaException
from .messages import KafkaError, TopicPartition, bare, kafka_exception

__all__ = ["GroupMetadata", "Transactions"]

_log = logging.getLogger("kafkaroute.producer")

_CLUSTER_TIMEOUT = 5.0


class GroupMetadata:
    """What Consumer.consumer_group_metadata() returns: a group on one cluster.

    Attributes:
        native: the backend's own object.
        is_moving: whether the consumer has yet to leave an old place: what is produced from its
            messages moves after it.
    """

    __slots__ = ("_topic_of", "cluster_id", "is_moving", "native")

    def __init__(
        self,
        native: object,
        cluster_id: Callable[[], str | None],
        topic_of: Callable[[TopicPartition], str],
        is_moving: Callable[[], bool] = lambda: False,
    ) -> None:
        self.native = native
        self.is_moving = is_moving
        self.cluster_id = cluster_id
        self._topic_of = topic_of

    def bare(self, positions: Iterable[TopicPartition]) -> list[TopicPartition]:
        """`positions` with topics for channels."""
        return [bare(position, self._topic_of(position)) for position in positions]


class Transactions:
    """The state between init_transactions() and close()."""

    def __init__(self, clients: Callable[[], Iterable[BackendProducer]]) -> None:
        self._clients = clients
        self._timeout = -1.0
        self._initialised: list[BackendProducer] = []
        self._open = False
        self._bound: BackendProducer | None = None
        self._lock = Lock()
        self._at_end: list[Callable[[], None]] = []

    @staticmethod
    def misuse(text: str) -> KafkaException:
        return kafka_exception(KafkaError._STATE, text)

    def init(self, timeout: float) -> None:
        self._timeout = timeout
        for client in self._clients():
            self._initialise(client)

    def _initialise(self, client: BackendProducer) -> None:
        if not any(known is client for known in self._initialised):
            client.init_transactions(self._timeout)
            self._initialised.append(client)

    def begin(self) -> None:
        with self._lock:
            if self._open:
                raise self.misuse("a transaction is open already")
            self._open = True
            self._bound = None

    def between(self, action: Callable[[], None]) -> None:
        """Run `action` while no transaction is open: now, or at the end of the one that is."""
        with self._lock:
            if self._open:
                self._at_end.append(action)
            else:
                action()

    def _end(self) -> None:
        with self._lock:
            self._open, self._bound = False, None
            actions, self._at_end = self._at_end, []
            for action in actions:
                action()

    def bind(self, client: BackendProducer, what: str) -> None:
        """Called for the first message of each channel in each transaction."""
        if not self._open:
            raise self.misuse(f"produce to {what} outside a transaction: call begin_transaction()")
        if self._bound is client:
            return
        if self._bound is not None:
            raise self.misuse(
                f"{what} lives on another cluster (or has other client settings) than this "
                "transaction's first message: a transaction cannot span clusters"
            )
        self._initialise(client)
        client.begin_transaction()
        self._bound = client

    def send_offsets(self, positions: Sequence[TopicPartition], group: Any, timeout: float) -> None:
        if not self._open:
            raise self.misuse("no transaction is open")
        if self._bound is None:
            candidates = list(self._clients())
            if len(candidates) != 1:
                raise self.misuse("produce a message before sending offsets: no cluster is chosen")
            self.bind(candidates[0], "the offsets")
        client = self._bound
        assert client is not None
        if not isinstance(group, GroupMetadata):
            client.send_offsets_to_transaction(positions, group, timeout)
            return
        ours = client.list_topics(None, _CLUSTER_TIMEOUT).cluster_id
        theirs = group.cluster_id()
        if ours is not None and theirs is not None and ours != theirs:
            raise self.misuse(
                "the group lives on another cluster than the transaction: its offsets cannot be "
                "part of it"
            )
        client.send_offsets_to_transaction(group.bare(positions), group.native, timeout)

    def commit(self, timeout: float) -> None:
        if not self._open:
            raise self.misuse("no transaction is open")
        if self._bound is not None:
            # Stays open when this raises: the application decides to try again or to abort.
            self._bound.commit_transaction(timeout)
        self._end()

    def abort(self, timeout: float) -> None:
        if not self._open:
            raise self.misuse("no transaction is open")
        if self._bound is not None:
            self._bound.abort_transaction(timeout)
        self._end()

    def abandon(self, timeout: float) -> None:
        """The Producer closes: what is open is aborted. Where that fails, the broker aborts it
        when ``transaction.timeout.ms`` is over."""
        try:
            if self._open:
                self.abort(timeout)
        except KafkaException as error:
            _log.warning("the open transaction could not be aborted: %s", error)
        finally:
            self._end()

    def after_fork_in_child(self) -> None:
        self._lock = Lock()
        self._at_end = []
        self._initialised = []
        self._open, self._bound = False, None
