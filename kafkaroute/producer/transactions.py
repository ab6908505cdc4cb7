"""A Producer's transactions: each lives on one cluster, chosen by its first produce()."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import Any, NoReturn
from weakref import WeakSet

from ..backend.contract import BackendProducer
from ..errors import KafkaException, KafkarouteError, UnsupportedFeature
from ..groups import GroupMetadata
from ..messages import KafkaError, TopicPartition, kafka_exception

__all__ = ["Transactions"]

_log = logging.getLogger("kafkaroute.producer")

_CLUSTER_TIMEOUT = 5.0


class Transactions:
    """The state between init_transactions() and close().

    Args:
        clients: the native clients in use.
        client_of: the native client of a channel.
        patience: seconds within which a consumer and the producer that commits its offsets have
            both heard of a move.
        drain_timeout: seconds that an old cluster has to abort a transaction whose channels
            wait to leave it.
    """

    def __init__(
        self,
        clients: Callable[[], Iterable[BackendProducer]],
        client_of: Callable[[str], BackendProducer],
        patience: float = 0.0,
        drain_timeout: float = 5.0,
    ) -> None:
        self._clients = clients
        self._client_of = client_of
        self._drain_timeout = drain_timeout
        self._patience = patience
        self._group: GroupMetadata | None = None
        self._apart_since: float | None = None
        self._timeout = -1.0
        self._initialised: WeakSet[BackendProducer] = WeakSet()
        self._initialising = 0
        #: Held while a client is chosen and made ready, which takes as long as its cluster.
        self._choosing = Lock()
        self._open = False
        self._bound: BackendProducer | None = None
        self._lock = Lock()
        self._waiting: list[tuple[Callable[[], bool], Callable[[], None]]] = []

    @staticmethod
    def misuse(text: str) -> KafkaException:
        return kafka_exception(KafkaError._STATE, text)

    def init(self, timeout: float) -> None:
        self._timeout = timeout
        with self._lock:
            self._initialising += 1  # no client leaves meanwhile, as in a transaction
        try:
            with self._choosing:
                for client in list(self._clients()):
                    self._initialise(client)
        finally:
            with self._lock:
                self._initialising -= 1
            self.run_waiting()

    def _initialise(self, client: BackendProducer) -> None:
        if client not in self._initialised:
            client.init_transactions(self._timeout)
            self._initialised.add(client)

    def begin(self) -> None:
        with self._lock:
            if self._open:
                raise self.misuse("a transaction is open already")
            self._open = True
            self._bound = None

    def between(self, permitted: Callable[[], bool], action: Callable[[], None]) -> None:
        """Run `action` once, while no transaction is open and `permitted` says yes: now, at the
        end of the open one, or at a later :meth:`run_waiting`."""
        with self._lock:
            self._waiting.append((permitted, action))
        self.run_waiting()

    def run_waiting(self) -> None:
        """Do what :meth:`between` could not do yet, where it can be done now."""
        with self._lock:
            self._run()

    def _run(self) -> None:
        if self._open or self._initialising:
            return
        for waiting in list(self._waiting):
            permitted, action = waiting
            if permitted():
                self._waiting.remove(waiting)
                action()

    def _end(self) -> None:
        with self._lock:
            self._open, self._bound = False, None
            self._run()

    def may_leave(self, here: str | None, there: str | None, give_up: float) -> bool:
        """Whether the producer may go from cluster `here` to `there` as far as the consumer is
        concerned whose offsets it commits: that one goes first. From `give_up` (time.monotonic())
        on it is taken not to go at all."""
        group = self._group
        if group is None or None in (here, there) or here == there:
            return True
        try:
            if group.is_moving():
                return False
            return group.cluster_id() == there or time.monotonic() >= give_up
        except KafkarouteError:
            return True  # the consumer is closed

    def bind(self, client: BackendProducer, what: str) -> None:
        """Called for the first message of each channel in each transaction."""
        if not self._open:
            raise self.misuse(f"produce to {what} outside a transaction: call begin_transaction()")
        with self._choosing:
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
            self.bind(self._beside(group), "the offsets")
        client = self._bound
        assert client is not None
        if not isinstance(group, GroupMetadata):
            client.send_offsets_to_transaction(positions, group, timeout)
            return
        ours = _cluster_of(client)
        theirs = group.cluster_id()
        if ours is not None and theirs is not None and ours != theirs:
            self._refuse_apart(group)
        self._group, self._apart_since = group, None
        client.send_offsets_to_transaction(group.bare(positions), group.native, timeout)

    def _beside(self, group: Any) -> BackendProducer:
        """The client that may commit offsets of `group`."""
        candidates = list(self._clients())
        theirs = group.cluster_id() if isinstance(group, GroupMetadata) else None
        if theirs is None:
            if len(candidates) != 1:
                raise self.misuse("produce a message before sending offsets: no cluster is chosen")
            return candidates[0]
        for client in candidates:
            if theirs == _cluster_of(client):
                return client
        return self._client_of(group.channel)

    def _refuse_apart(self, group: GroupMetadata) -> NoReturn:
        """The group lives on another cluster than the transaction."""
        now = time.monotonic()
        if self._apart_since is None:
            self._apart_since = now
        together_before, self._group = self._group is not None, group
        text = "the group lives on another cluster than the transaction: its offsets cannot be "
        if together_before and (
            group.is_moving() or self._waiting or now - self._apart_since < self._patience
        ):
            raise kafka_exception(
                KafkaError._STATE,
                f"{text}part of it. One of them is moving: abort the transaction and go on",
                txn_requires_abort=True,
            )
        raise UnsupportedFeature(
            f"{text}part of it. Kafka has no transactions across clusters: input and output of a "
            "consume-transform-produce loop must live on one"
        )

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
            self._abort(self._bound, timeout)
        self._end()

    def _abort(self, client: BackendProducer, timeout: float) -> None:
        leaving = bool(self._waiting)
        if leaving:
            timeout = self._drain_timeout if timeout < 0 else min(timeout, self._drain_timeout)
        try:
            client.abort_transaction(timeout)
        except KafkaException as error:
            if not leaving:
                raise
            # Its coordinator does it when transaction.timeout.ms is over.
            _log.warning("the old cluster could not be told to abort a transaction: %s", error)

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
        self._lock, self._choosing = Lock(), Lock()
        self._waiting = []
        self._group = self._apart_since = None
        self._initialised, self._initialising = WeakSet(), 0
        self._open, self._bound = False, None


def _cluster_of(client: BackendProducer) -> str | None:
    return client.list_topics(None, _CLUSTER_TIMEOUT).cluster_id
