"""Producer: the confluent-kafka producer's calls, with channels for topics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from ..arguments import seconds
from ..backend.contract import DeliveryCallback, HeadersInput
from ..channel import Channel
from ..errors import ConfigurationError, KafkaException
from ..events import RouteStatus
from ..forking import on_fork
from ..groups import GroupMetadata
from ..messages import ClusterMetadata, TopicPartition
from ..settings import Settings
from .arguments import fit, is_partition
from .channel_producer import ChannelProducer
from .delivery import Delivery
from .dispatch import Dispatch
from .leftovers import count_at_exit, count_when_dropped
from .reports import Pair
from .status import status_of
from .transactions import Transactions

__all__ = ["KafkaException", "Producer"]


class Producer:
    """Produces to channels, wherever they live. Thread-safe; usable after a fork.

    A channel that moves is followed: what was accepted is delivered to the old place or to the new
    one, in order, and reported once (docs/moves.md).

    Args:
        config: see :class:`kafkaroute.settings.Settings`; what is missing is taken from the
            environment and the TOML file.

    Raises:
        ConfigurationError: a setting is unknown, missing or of the wrong type.
        CatalogError, RouteRejected, BackendError, KafkaException, ChannelInvalid: of a channel
            that the setting `channels` names.
    """

    def __init__(self, config: Mapping[str, Any] | Settings | None = None) -> None:
        self._dispatch = Dispatch(Settings.load(config))
        self._table = self._dispatch.table
        self._router = self._table.router
        self._senders = self._table.senders
        self._delivery = Delivery(self._dispatch)
        self._transactions: Transactions | None = None
        on_fork(self)
        count_at_exit(self._delivery)
        count_when_dropped(self, self._delivery)
        if named := self._table.settings.channels:
            self._preload_or_close(named)

    # The hot path: one look-up and one positional call.

    def produce(
        self,
        channel: str,
        value: bytes | str | None = None,
        key: bytes | str | None = None,
        partition: int = -1,
        callback: DeliveryCallback | None = None,
        on_delivery: DeliveryCallback | None = None,
        timestamp: int = 0,
        headers: HeadersInput | None = None,
    ) -> None:
        """Queue a message; delivery is reported from poll() or flush().

        Args:
            channel: the channel's address.
            value, key: bytes, str (as UTF-8) or None.
            partition: number, or -1 for the partitioner's choice.
            callback, on_delivery: called as ``(error, message)``; two names of one thing.
            timestamp: milliseconds since the epoch; 0 is now.
            headers: pairs or a mapping; names str, values bytes, str or None.

        The first message of a channel asks the catalog (at most `timeout` seconds); every later
        one asks nobody, and none waits for a move: meanwhile messages are kept, as many as the
        queue of the client may hold.

        Raises:
            BufferError: the local queue is full: poll() and try again.
            KafkaException: refused at once, e.g. ``MSG_SIZE_TOO_LARGE``; ``_CONFLICT``: the cluster is
                not the one that the catalog says.
            CatalogError, RouteRejected, BackendError, ConfigurationError, ChannelInvalid: the
                channel's first message found no way.
            ClosedError: after close().
            TypeError, ValueError: an argument that no message can have; names it.
        """
        try:
            pair: Pair | None = self._senders[channel]
        except KeyError:
            pair = None
        if on_delivery is not None:
            callback = on_delivery
        if pair is None:  # not in the handler: its errors would show the KeyError as their cause
            pair = self._connect(channel, reports=callback is not None)
        if callback is None and headers is None and partition == -1 and not timestamp:
            try:
                pair[0](value, key)
            except Exception as error:
                pair[2](error)
                raise
        else:
            if (
                headers is not None
                or timestamp
                or (partition != -1 and not is_partition(partition))
            ):
                partition, timestamp, headers = fit(partition, timestamp, headers)
            pair[1](value, key, partition, callback, timestamp, headers)

    def channel(self, name: str) -> ChannelProducer:
        """A handle bound to one channel; it follows the channel like produce() does."""
        Channel.parse(name)
        return ChannelProducer(self, name)

    def preload(self, channels: Iterable[str]) -> None:
        """Look several channels up in parallel and open their clients, so that the first
        produce() of each waits for nobody. Raises as produce()."""
        for route in self._router.routes(channels):
            # Its sender is made by the first message: most of what a channel takes.
            self._dispatch.find(route.channel, reports=False)

    def _preload_or_close(self, channels: Sequence[str]) -> None:
        try:
            self.preload(channels)
        except BaseException:
            self.close(0)
            raise

    def _connect(self, channel: str, *, reports: bool = False) -> Pair:
        return self._dispatch.connect(channel, reports=reports)

    # Delivery.

    def poll(self, timeout: float | None = -1) -> int:
        """Serve delivery callbacks on this thread, waiting up to `timeout` seconds for the first.

        Returns:
            The number of events served.
        """
        return self._delivery.poll(timeout)

    def flush(self, timeout: float | None = -1) -> int:
        """Wait until everything is delivered or failed, serving callbacks on this thread.

        Args:
            timeout: seconds; -1 or None waits as long as it takes.

        Returns:
            The number of messages still undelivered.
        """
        return self._delivery.flush(timeout)

    def __len__(self) -> int:
        """Messages and events that wait for delivery or for poll()."""
        return self._delivery.count()

    def __bool__(self) -> bool:
        return True  # an idle Producer is still a Producer

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        """Fail undelivered messages with ``_PURGE_QUEUE`` or ``_PURGE_INFLIGHT``."""
        self._table.check_open()
        self._delivery.purge(in_queue, in_flight, blocking)

    def list_topics(self, channel: str | None = None, timeout: float = -1) -> ClusterMetadata:
        """Ask a cluster about itself.

        Args:
            channel: whose cluster and topic; may be left out while only one cluster is in use.
            timeout: seconds.
        """
        table = self._table
        table.check_open()
        if channel is not None:
            home = table.home(channel)
            return home.client.native.list_topics(home.route.topic, seconds(timeout))
        clients = list(table.router.clients())
        if len(clients) != 1:
            raise ConfigurationError(
                f"list_topics() without a channel needs exactly one cluster in use, not {len(clients)}"
            )
        return clients[0].native.list_topics(None, seconds(timeout))

    # Seeing.

    def routes(self) -> dict[str, RouteStatus]:
        """How each channel in use stands: where it lives, and what moves."""
        return status_of(self._table, self._dispatch.underway())

    def counters(self) -> dict[str, int]:
        """Phases of moves so far (``rescued`` counts messages), and messages that failed without a
        callback to tell."""
        return self._table.counters()

    # The end.

    def close(self, timeout: float | None = -1) -> int:
        """Deliver what is queued, then free every client. Safe to call twice.

        Args:
            timeout: seconds to wait for delivery; what is left then fails with ``_PURGE_QUEUE``.

        Called from a delivery callback, or from a signal handler that has interrupted poll() or
        flush(), it returns 0 at once: the Producer is closed when that call ends.

        Returns:
            The number of messages that were failed.

        Raises:
            KafkaException: ``_STATE``, called from `on_route_change` during a move, whose end
                close() waits for.
        """
        timeout = seconds(timeout)
        if self._delivery.serving.leave(lambda: self.close(timeout)):
            return 0
        self._dispatch.check_may_close()
        if not self._table.shut():
            return 0
        if self._transactions is not None:
            self._transactions.abandon(timeout)
        return self._delivery.close(timeout)

    # Transactions.

    def init_transactions(
        self,
        timeout: float = -1,
        *,
        channels: Iterable[str] = (),
        group_metadata: GroupMetadata | None = None,
    ) -> None:
        """Make this Producer transactional (``transactional.id`` must be configured), which fences
        its predecessor and aborts what that has left open (KIP-98).

        Done at once on the clusters that are known: those of `channels`, of the setting `channels`,
        of the group's and of what was produced to; on any other when a transaction first uses it.

        Args:
            timeout: seconds for each cluster, now and later.
            channels: where transactions will take place.
            group_metadata: what Consumer.consumer_group_metadata() returned.

        Raises:
            KafkaException: ``_STATE``, where nothing names a cluster; and what the cluster says.
            CatalogError, RouteRejected, BackendError, ConfigurationError, ChannelInvalid: of
                `channels`.
        """
        table = self._table
        table.check_open()
        self.preload(channels)
        if group_metadata is not None:
            self._dispatch.native_of(group_metadata.channel)
        if not table.router.clients():
            raise Transactions.misuse(
                "init_transactions() does not know on which cluster: name a channel, as in "
                "init_transactions(channels=[...]) or in the setting channels"
            )
        with table.locked():
            table.check_open()
            if self._transactions is None:
                native_of = self._dispatch.native_of  # nothing that keeps this Producer
                settings, router = table.settings, table.router
                transactions = Transactions(
                    lambda: [client.native for client in router.clients()],
                    native_of,
                    patience=2 * settings.ttl + settings.timeout,
                    drain_timeout=settings.drain_timeout,
                )
                self._transactions = transactions
                self._dispatch.bind_to(transactions)
        with self._delivery.serving.call("init_transactions"):
            self._transactions.init(seconds(timeout))  # asks clusters: not under the lock
        self._table.forget_senders()

    def _transaction(self) -> Transactions:
        self._table.check_open()
        if self._transactions is None:
            raise Transactions.misuse("call init_transactions() first")
        return self._transactions

    def begin_transaction(self) -> None:
        """Open a transaction; the first produce() decides which cluster it lives on.

        A produce() to a channel of another cluster inside it is a KafkaException ``_STATE``.
        """
        self._transaction().begin()

    def send_offsets_to_transaction(
        self, positions: Sequence[TopicPartition], group_metadata: Any, timeout: float = -1
    ) -> None:
        """Commit a consumer's offsets with the transaction. Where nothing was produced in it yet, it
        takes place on the group's cluster.

        Args:
            positions: what Consumer.position() returned, or partitions of your own.
            group_metadata: what Consumer.consumer_group_metadata() returned.
            timeout: seconds.

        Raises:
            KafkaException: ``_STATE``, with txn_requires_abort(), while the consumer and this
                Producer move from cluster to cluster one after the other.
            UnsupportedFeature: they live on different clusters.
        """
        with self._delivery.serving.call("send_offsets_to_transaction"):
            self._transaction().send_offsets(positions, group_metadata, seconds(timeout))

    def commit_transaction(self, timeout: float = -1) -> None:
        """Flush and commit; `timeout` in seconds."""
        with self._delivery.serving.call("commit_transaction"):
            self._transaction().commit(seconds(timeout))
        self._table.forget_senders()  # the next one may live on another cluster

    def abort_transaction(self, timeout: float = -1) -> None:
        """Abort; undelivered messages fail with ``_PURGE_QUEUE``. `timeout` in seconds."""
        with self._delivery.serving.call("abort_transaction"):
            self._transaction().abort(seconds(timeout))
        self._table.forget_senders()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _after_fork_in_child(self) -> None:
        self._dispatch.after_fork_in_child()
        if self._transactions is not None:
            self._transactions.after_fork_in_child()
