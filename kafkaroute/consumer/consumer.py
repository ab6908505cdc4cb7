"""Consumer: the confluent-kafka consumer's calls, with channels for topics."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias

from ..arguments import patience
from ..backend.contract import Backend
from ..channel import Channel
from ..errors import ClosedError, ConfigurationError, KafkaException, KafkarouteError
from ..events import Phase, RouteChange
from ..forking import on_fork
from ..messages import KafkaError, Message, Origin, kafka_exception
from ..places import Place
from ..route import Route
from ..router import Router
from ..settings import Settings
from .clients import Member
from .fair_lock import Turns
from .moving_calls import MovingCalls, RebalanceCallback, commit_stored, unfinished_routes
from .offsets import OffsetCalls
from .partitions import PartitionCalls
from .pauses import MOVING
from .polling import Batch, FairPoll

__all__ = ["Consumer", "KafkaException", "RebalanceCallback"]

_log = logging.getLogger("kafkaroute.consumer")

_Subscription: TypeAlias = (
    "tuple[list[str], RebalanceCallback | None, RebalanceCallback | None, RebalanceCallback | None]"
)


def _open(backend: Backend, place: Place) -> Member:
    origins: dict[str, Origin] = {}
    return Member(place, backend.open_consumer(place.config, origins), origins)


class Consumer(OffsetCalls, PartitionCalls, MovingCalls):
    """Reads channels, wherever they live, as one member of the group ``group.id``.

    Several channels may live on several clusters; they are read in turn. Calls from several
    threads are safe and wait for each other; close() may be called while another thread polls.

    Args:
        config: see :class:`kafkaroute.settings.Settings`; ``group.id`` and other client settings
            come from the catalog or from ``client_config``.

    Raises:
        ConfigurationError: a setting is unknown, missing or of the wrong type.
    """

    def __init__(self, config: Mapping[str, Any] | Settings | None = None) -> None:
        super().__init__(Router(Settings.load(config), "consume", _open))
        self._subscription: _Subscription | None = None
        self._router.follow(self._notice, failing=self._failing)
        on_fork(self)
        self._check_named()

    # Which channels.

    def subscribe(
        self,
        channels: Sequence[str],
        on_assign: RebalanceCallback | None = None,
        on_revoke: RebalanceCallback | None = None,
        on_lost: RebalanceCallback | None = None,
    ) -> None:
        """Replace the subscription; asks the catalog for channels not known yet.

        Args:
            channels: the channels' addresses. One that ends with ``/*`` is a pattern: it stands
                for the channels under it, as the catalog has them, now and later.
            on_assign, on_revoke, on_lost: called as ``(consumer, partitions)`` from poll(),
                consume(), unsubscribe() or close(), on the calling thread. Each call concerns one
                cluster. Without `on_lost`, `on_revoke` is called for lost partitions.

        Raises:
            CatalogError, RouteRejected, BackendError, ConfigurationError, ChannelInvalid: one
                channel found no way; the subscription is unchanged.
        """
        if isinstance(channels, str):
            raise ConfigurationError("subscribe() takes a list of channels, not one string")
        wanted = list(dict.fromkeys(channels))
        for channel in wanted:
            Channel.parse(channel)
        with self._turn():
            self._check_not_closing("subscribe")
            routes = self._patterns.routes(wanted)
            self._take_news()  # in the order in which they came; then what is newer
            members, chains = self._lodge(routes)
            self._moves.drop(self._moves.ways.keys() - {route.channel for route in routes})
            self._part(keep=list(members))
            self._callbacks = (on_assign, on_revoke, on_lost)
            self._manual = False
            for member, topics in members.items():
                self._read(member, topics)
                self._subscribe_natively(member, member.wanted())
            self._members.keep(members)
            self._subscription = (wanted, on_assign, on_revoke, on_lost)
            self._set_out(routes, chains)
            self._moving = self._moving or self._patterns.active

    def _read(self, member: Member, topics: dict[str, str]) -> None:
        member.read(topics)
        for channel, topic in topics.items():
            if channel not in self._moves.ways:
                member.kept.let_go_all(topic, *MOVING)

    def _look_at_patterns(self) -> None:
        """As subscribe(), but what stays as it is hears nothing of it."""
        if self._subscription is None or self._manual:
            self._patterns.forget()
            return
        try:
            self._follow_patterns(self._subscription[0])
        except KafkarouteError as error:
            _log.warning("what patterns stand for is not read yet: %s", error)
            self._patterns.look_again()
        except BaseException:  # a callback of the application
            self._patterns.look_later()
            raise

    def _follow_patterns(self, wanted: Sequence[str]) -> None:
        before = self._routes
        routes = self._patterns.routes(wanted)
        # One that cannot be had just now stays where it is.
        known = {route.channel for route in routes}
        routes += [before[c] for c in self._patterns.failing if c in before and c not in known]
        now = {route.channel: route for route in routes}
        vanished = [channel for channel in before if channel not in now]
        members, chains = self._lodge(routes)
        if vanished:
            for member in self._members.all:
                commit_stored(member)
        self._moves.drop(self._moves.ways.keys() - now.keys())
        self._part(keep=list(members))
        self._members.keep(one for one in self._members.all if one in members)
        for member, topics in members.items():
            self._read(member, topics)
            self.join(member)
        self._set_out(routes, chains)
        for channel in vanished:
            self._tell_membership(Phase.VANISHED, before[channel])
        for channel in now.keys() - before.keys():
            self._tell_membership(Phase.APPEARED, now[channel])

    def _tell_membership(self, phase: Phase, route: Route) -> None:
        spot = self._spot(route)
        old, new = (None, spot) if phase is Phase.APPEARED else (spot, None)
        self._moves.events.append(RouteChange(route.channel, "consume", phase, old, new))

    def _lodge(
        self, routes: Sequence[Route]
    ) -> tuple[dict[Member, dict[str, str]], dict[str, list[Route]]]:
        """Which member is to read which topics (channel → topic), and the way of each channel that
        is new. Channels that are read stay where they are, until their move is over; others begin
        where their group has something left."""
        chains: dict[str, list[Route]] = {}
        shares: dict[Place, dict[str, str]] = {}
        for route in routes:
            reader = self._members.of_channel(route.channel)
            if reader is not None and self._subscription is not None and not self._manual:
                shares.setdefault(reader.place, {})[route.channel] = reader.topics[route.channel]
                for stage in self._moves.stages(route.channel):
                    shares.setdefault(stage.place, {})
            else:
                chain = [*unfinished_routes(self._router, route), route]
                first = chain[0]
                chains[route.channel] = chain
                shares.setdefault(self._router.place(first), {})[route.channel] = first.topic
        if self._rebalancing is not None and self._rebalancing.member.place not in shares:
            raise kafka_exception(
                KafkaError._STATE,
                "a rebalance callback cannot unsubscribe from the cluster it is called for",
            )
        members = {self._router.client(place): topics for place, topics in shares.items()}
        return members, chains

    def _set_out(self, routes: Sequence[Route], chains: Mapping[str, list[Route]]) -> None:
        """Begin the moves that a subscription brings with it."""
        for route in routes:
            chain = chains.get(route.channel)
            if chain is None:
                self._moves.follow(route.channel, self._routes[route.channel], route)
            elif len(chain) > 1:
                self._moves.begin(route.channel, chain)
        self._routes = {route.channel: route for route in routes}
        self._moving = self._moving or self._moves.active

    def _subscribe_again(self) -> None:
        if self._subscription is not None:
            self.subscribe(*self._subscription)

    def unsubscribe(self) -> None:
        """Leave the group on every cluster; rebalance callbacks run before this returns."""
        with self._turn():
            self._check_not_closing("unsubscribe")
            self._subscription = None
            self._patterns.forget()
            self._moves.drop(self._moves.ways)
            for member in self._members.all:
                member.client.unsubscribe()
                member.subscribes_to([])

    def _part(self, keep: Sequence[Member]) -> None:
        """Close the members that no channel needs any more."""
        for member in self._members.all:
            if member not in keep:
                self._router.forget(member.place)
                member.client.close()

    # Messages.

    def poll(self, timeout: float | None = -1) -> Message | None:
        """One message or event, or None when `timeout` seconds brought none (-1: wait).

        Test ``is not None``: a message with an empty value is false. Events have an ``error()``.
        KafkaException ``_STATE`` inside another call of this Consumer, as in one of its callbacks.
        """
        # What nearly every call is: one cluster, nothing moves, a message is there.
        turns = self._turns
        members = self._members.all
        if len(members) == 1 and not (self._moving or self._stash or self._stale):
            client = members[0].client
            if (message := client.fetched()) is not None:
                return message
            if not self._closed and not turns.mine() and turns.acquire(False):
                try:
                    if self._members.all is members and (message := client.ready()) is not None:
                        return message
                finally:
                    turns.release()
        return self._poll_all(timeout)

    def _poll_all(self, timeout: float | None) -> Message | None:
        """poll() where there are several clusters, something moves, or nothing is there yet."""
        turns = self._turns
        turns.check_outermost("poll")
        deadline = -1.0
        while True:
            if self._moving:
                self._advance()
            with turns:
                members = self._ready()
                if self._stash:
                    return self._stash.pop(0)
                if deadline < 0:
                    # Inside the loop, so that a message that is there costs no clock.
                    if len(members) > 1 and (message := self._fair.ready(members)) is not None:
                        return message
                    left = patience(timeout)
                    deadline = time.monotonic() + left
                else:
                    left = max(0.0, deadline - time.monotonic())
                if members:
                    step = min(left, self._fair.slice_of(members))
                    if (message := self._fair.wait(members, step)) is not None:
                        return message
            if not members:
                time.sleep(min(left, 0.05))
            if left <= 0 or time.monotonic() >= deadline:
                return None
            turns.step_aside()

    def consume(self, num_messages: int = 1, timeout: float | None = -1) -> list[Message]:
        """Up to `num_messages` messages and events, fewer when `timeout` is over, or while a channel moves.

        What it has read counts as not delivered until it returns: when the process ends before, or
        the group takes a partition away, those messages go to whoever reads the partition next.
        """
        batch = Batch(num_messages)
        self._turns.check_outermost("consume")
        try:
            self._collect(batch, patience(timeout))
        except BaseException:  # the catalog, a move or a callback
            with self._turns:
                self._stash += batch.given_back(self._members)
            raise
        return batch.found

    def _collect(self, batch: Batch, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while batch.wanted:
            if self._moving:
                self._advance()
            with self._turns:
                members = self._ready()
                if self._stash:
                    batch.add(self._stash[: batch.wanted])
                    del self._stash[: batch.wanted]
                    return
                left = max(0.0, deadline - time.monotonic())
                if members:
                    step = min(left, self._fair.slice_of(members))
                    self._fair.gather(members, batch, step)
                    if batch.found or batch.room() <= 0 or time.monotonic() >= deadline:
                        self._fair.hand_out(members, batch)
            if not members:
                time.sleep(min(left, 0.05))
            if batch.found or time.monotonic() >= deadline:
                return
            self._turns.step_aside()

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        """The next message. Events raise KafkaException, but for ``_PARTITION_EOF`` and for what passes
        (brokers that are down, a topic that is not there yet), which is logged."""
        while not self._closed:
            try:
                message = self.poll(1.0)
            except ClosedError:
                break
            if message is None:
                continue
            error = message.error()
            if error is None:
                return message
            if error.code() == KafkaError._PARTITION_EOF or self._passing.outlives(message, error):
                continue
            raise KafkaException(error)
        raise StopIteration

    # The end.

    def close(self) -> None:
        """Commit what auto-commit owes, leave the groups, free the clients. Safe to call twice,
        and while another thread polls. Rebalance callbacks run before it returns; where one raises,
        so does this, when everything is closed; called from one, it is a KafkaException ``_STATE``.

        From a signal handler that interrupted a call of this Consumer, or another callback of its
        client, it returns at once: the Consumer is closed when that call ends, which returns what
        it has read, or raises ClosedError."""
        if self._closed or self._closing:
            return
        if self._rebalancing is not None and self._turns.mine():
            # It would free the native consumer that this call came from.
            raise kafka_exception(
                KafkaError._STATE, "close() cannot be called from a rebalance callback"
            )
        if self._turns.mine():
            self._turns.leave(self._close)
        else:
            self._close()

    def _close(self) -> None:
        with self._turns:
            if self._closed or self._closing:
                return
            self._closing = True
            self._moves.close()
            failure: BaseException | None = None
            for member in self._router.clients():
                try:
                    member.client.close()
                except BaseException as error:  # raised when all are closed
                    failure = failure or error
            # No longer than for an answer: what is closed behind may be of a cluster that is away.
            patience = time.monotonic() + self._router.settings.timeout
            for closer in self._closers:
                closer.join(max(0.0, patience - time.monotonic()))
            self._closed = True
            self._members.keep(())
            self._router.forget_all()
            self._router.close()
            if failure is not None:
                raise failure

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
        """The child joins the group as a member of its own when it first polls."""
        self._turns = Turns()
        self._stash = []
        self._members.keep(())
        self._rebalancing = None
        self._news.clear()
        self._closers = []
        self._refusals.forget()
        self._fair = FairPoll()
        self._moves.after_fork_in_child()
        self._router.after_fork_in_child()
        self._stale = True
