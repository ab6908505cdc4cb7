"""Producer: the confluent-kafka producer's calls, with channels for topics."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from threading import RLock
from types import TracebackType
from typing import Any, Self

from .backend.contract import Backend, BackendProducer, DeliveryCallback, HeadersInput, Sender
from .channel import Channel
from .channel_producer import ChannelProducer
from .errors import ClosedError, ConfigurationError, KafkaException
from .forking import abandon, on_fork
from .messages import ClusterMetadata, TopicPartition
from .route import Route
from .router import Place, Router
from .settings import Settings
from .transactions import Transactions

__all__ = ["KafkaException", "Producer"]

_log = logging.getLogger("kafkaroute.producer")

#: How long one client may hold up the others while all of them are waited for (seconds).
_SLICE = 0.05
#: A thread may sit between looking a sender up and calling it, so a client that no channel uses
#: any more is closed only after this many seconds.
_GRACE = 5.0


class _Retired:
    """A client that no channel uses any more but that still has messages to deliver."""

    __slots__ = ("client", "since")

    def __init__(self, client: BackendProducer) -> None:
        self.client = client
        self.since = time.monotonic()


def _open(backend: Backend, place: Place) -> BackendProducer:
    return backend.open_producer(place.config)


class Producer:
    """Produces to channels, wherever they live. Thread-safe; usable after a fork.

    Args:
        config: see :class:`kafkaroute.settings.Settings`; what is missing is taken from the
            environment and the TOML file.

    Raises:
        ConfigurationError: a setting is unknown, missing or of the wrong type.
    """

    def __init__(self, config: Mapping[str, Any] | Settings | None = None) -> None:
        self._senders: dict[str, Sender] = {}
        #: Where each channel was sent last; kept while a sender is gone, to know what it leaves.
        self._homes: dict[str, Place] = {}
        self._lock = RLock()
        self._retired: list[_Retired] = []
        self._closed = False
        self._router: Router[BackendProducer] = Router(Settings.load(config), "produce", _open)
        self._router.follow(self._follow, self._expire)
        self._transactions: Transactions | None = None
        on_fork(self)

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
            headers: list of pairs or mapping; values bytes, str or None.

        The first message of a channel asks the catalog (at most `timeout` seconds); every later
        one asks nobody.

        Raises:
            BufferError: the local queue is full: poll() and try again.
            KafkaException: refused at once, e.g. ``MSG_SIZE_TOO_LARGE``.
            CatalogError, RouteRejected, BackendError, ConfigurationError, ChannelInvalid: the
                channel's first message found no way.
            ClosedError: after close().
        """
        try:
            send: Sender | None = self._senders[channel]
        except KeyError:
            send = None
        if send is None:  # not in the handler: its errors would show the KeyError as their cause
            send = self._connect(channel)
        if on_delivery is not None:
            callback = on_delivery
        send(value, key, partition, callback, timestamp, headers)

    def channel(self, name: str) -> ChannelProducer:
        """A handle bound to one channel; it follows the channel like produce() does."""
        Channel.parse(name)
        return ChannelProducer(self, name)

    def preload(self, channels: Iterable[str]) -> None:
        """Look several channels up in parallel and open their clients, so that the first
        produce() of each waits for nobody. Raises as produce()."""
        for route in self._router.routes(channels):
            self._connect(route.channel)

    # Opening and following.

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the Producer is closed")

    def _connect(self, channel: str) -> Sender:
        self._check_open()
        route = self._router.route(channel)  # may ask the catalog: not under the lock
        with self._lock:
            self._check_open()
            place = self._router.place(route)
            client = self._router.client(place)
            if self._transactions is not None:
                self._transactions.bind(client, channel)
            return self._settle(channel, place, client.sender(route.topic))

    def _settle(self, channel: str, place: Place, sender: Sender) -> Sender:
        """From now on `channel` goes where `sender` sends; a client left behind is retired."""
        before = self._homes.get(channel, place)
        self._homes[channel] = place
        self._senders[channel] = sender
        if before != place:
            self._retire_unused()
        return sender

    def _follow(self, channel: str, _old: Route, new: Route) -> None:
        """A route changed (on the refresher's thread): later messages go to the new place."""
        with self._lock:
            if self._closed or channel not in self._senders:
                return
            if self._transactions is not None:
                return  # the next transaction looks its channels up again
            place = self._router.place(new)
            try:
                client = self._router.client(place)
            except (KafkaException, ConfigurationError) as error:
                _log.warning("channel %s stays where it is: new place refused: %s", channel, error)
                return
            self._settle(channel, place, client.sender(new.topic))
            _log.info("channel %s now goes to topic %s at %r", channel, new.topic, place)

    def _expire(self, channel: str) -> None:
        """The route is too old to be used: the next produce() asks, and raises what it is told."""
        with self._lock:
            if self._senders.pop(channel, None) is not None:
                _log.error("channel %s: the catalog confirmed no route for too long", channel)

    def _retire_unused(self) -> None:
        used = set(self._homes.values())
        for place in [p for p in self._router.places() if p not in used]:
            if (client := self._router.forget(place)) is not None:
                self._retired.append(_Retired(client))

    def _clients(self) -> Collection[BackendProducer]:
        clients = self._router.clients()
        return [*clients, *self._retired_clients()] if self._retired else clients

    def _retired_clients(self) -> list[BackendProducer]:
        """Those with work left; the others are closed."""
        now = time.monotonic()
        with self._lock:
            done = [r for r in self._retired if not len(r.client) and now - r.since > _GRACE]
            self._retired = [r for r in self._retired if r not in done]
            left = [r.client for r in self._retired]
        for retired in done:
            retired.client.close(0)
        return left

    # Delivery.

    def poll(self, timeout: float | None = -1) -> int:
        """Serve delivery callbacks on this thread, waiting up to `timeout` seconds for the first.

        Returns:
            The number of events served.
        """
        clients = self._clients()
        served = 0
        for client in clients:
            served += client.poll(0)
        if served or timeout == 0:
            return served
        deadline = _deadline(timeout)
        while not self._closed:
            # Slices: clients come and go, close() may be called, signals want to be handled.
            left = max(0.0, deadline - time.monotonic())
            share = min(left, _SLICE) / max(1, len(clients))
            for client in clients:
                served += client.poll(share)
            if served or left <= 0:
                break
            if not clients:
                time.sleep(share)
            clients = self._clients()
        return served

    def flush(self, timeout: float | None = -1) -> int:
        """Wait until everything is delivered or failed, serving callbacks on this thread.

        Args:
            timeout: seconds; -1 or None waits as long as it takes.

        Returns:
            The number of messages still undelivered.
        """
        deadline = _deadline(timeout)
        while True:
            clients = [client for client in self._clients() if len(client)]
            if not clients:
                return 0
            if len(clients) == 1 and timeout is not None and timeout >= 0:
                remaining = clients[0].flush(max(0.0, deadline - time.monotonic()))
            else:
                # Slices: a cluster that does not answer must not hold up the others.
                remaining = sum(
                    client.flush(max(0.0, min(_SLICE, deadline - time.monotonic())))
                    for client in clients
                )
            if time.monotonic() >= deadline:
                return remaining

    def __len__(self) -> int:
        """Messages and events that wait for delivery or for poll()."""
        return sum(len(client) for client in self._clients())

    def __bool__(self) -> bool:
        return True  # an idle Producer is still a Producer

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        """Fail undelivered messages with ``_PURGE_QUEUE`` or ``_PURGE_INFLIGHT``."""
        self._check_open()
        for client in self._clients():
            client.purge(in_queue, in_flight, blocking)

    def list_topics(self, channel: str | None = None, timeout: float = -1) -> ClusterMetadata:
        """Ask a cluster about itself.

        Args:
            channel: whose cluster and topic; may be left out while only one cluster is in use.
            timeout: seconds.
        """
        self._check_open()
        if channel is not None:
            route = self._router.route(channel)
            return self._router.client(self._router.place(route)).list_topics(route.topic, timeout)
        clients = list(self._router.clients())
        if len(clients) != 1:
            raise ConfigurationError(
                f"list_topics() without a channel needs exactly one cluster in use, not {len(clients)}"
            )
        return clients[0].list_topics(None, timeout)

    # Transactions.

    def init_transactions(self, timeout: float = -1) -> None:
        """Make this Producer transactional (``transactional.id`` must be configured).

        Each native client is initialised when a transaction first uses it, because only then is
        known which cluster that is; `timeout` (seconds) bounds that call.
        """
        with self._lock:
            self._check_open()
            if self._transactions is None:
                self._transactions = Transactions(self._router.clients)
            self._transactions.init(timeout)
            self._senders.clear()

    def _transaction(self) -> Transactions:
        self._check_open()
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
        """Commit a consumer's offsets with the transaction.

        Args:
            positions: what Consumer.position() returned, or partitions of your own.
            group_metadata: what Consumer.consumer_group_metadata() returned.
            timeout: seconds.
        """
        self._transaction().send_offsets(positions, group_metadata, timeout)

    def commit_transaction(self, timeout: float = -1) -> None:
        """Flush and commit; `timeout` in seconds."""
        self._transaction().commit(timeout)
        self._forget_senders()

    def abort_transaction(self, timeout: float = -1) -> None:
        """Abort; undelivered messages fail with ``_PURGE_QUEUE``. `timeout` in seconds."""
        self._transaction().abort(timeout)
        self._forget_senders()

    def _forget_senders(self) -> None:
        """The next transaction may live on another cluster, so its channels are bound anew."""
        with self._lock:
            self._senders.clear()

    # The end.

    def close(self, timeout: float | None = -1) -> int:
        """Deliver what is queued, then free every client. Safe to call twice.

        Args:
            timeout: seconds to wait for delivery; what is left then fails with ``_PURGE_QUEUE``.

        Returns:
            The number of messages that were failed.
        """
        with self._lock:
            if self._closed:
                return 0
            self._closed = True
            self._senders.clear()
        if self._transactions is not None:
            self._transactions.abandon(-1 if timeout is None else timeout)
        try:
            self.flush(timeout)
        finally:
            with self._lock:
                clients = [retired.client for retired in self._retired]
                self._retired = []
            clients += self._router.forget_all()
            self._router.close()
            failed = _close_all(clients)
        return failed

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
        self._lock = RLock()
        self._senders.clear()
        for retired in self._retired:
            abandon(retired.client)
        self._retired = []
        self._router.after_fork_in_child()
        if self._transactions is not None:
            self._transactions.after_fork_in_child()


def _close_all(clients: Iterable[BackendProducer]) -> int:
    """Close every client; the first failure is raised when all are closed."""
    failed = 0
    failure: Exception | None = None
    for client in clients:
        try:
            failed += client.close(0)
        except Exception as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return failed


def _deadline(timeout: float | None) -> float:
    """The monotonic time at which `timeout` seconds are over."""
    return float("inf") if timeout is None or timeout < 0 else time.monotonic() + timeout
