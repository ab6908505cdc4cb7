"""Connects channels to clients, and sets movers going when routes change."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from ..backend.contract import BackendProducer, DeliveryCallback
from ..events import RouteChange
from ..messages import KafkaError, Message, kafka_exception
from ..route import Route
from ..settings import Settings
from .client import Client, Home
from .moving.cluster_check import ClusterCheck
from .moving.doubts import Doubts
from .moving.mover import Mover
from .reports import Pair, Reports
from .revoked import Refusals
from .status import Underway
from .table import Table
from .transactions import Transactions
from .undelivered import Undelivered

__all__ = ["Dispatch"]

_log = logging.getLogger("kafkaroute.producer")


class Dispatch:
    """The one way into ``moving``. Native clients hand in here what they cannot settle.

    Attributes:
        table: which client sends which channel.
        movers: client → what moves its channels, while there is something to move.
        cluster_check: whether clients have reached the clusters that routes name.
    """

    def __init__(self, settings: Settings) -> None:
        self.table = Table(settings, self)
        self.movers: dict[Client, Mover] = {}
        self.cluster_check = ClusterCheck(self.table)
        self._doubts = Doubts(self.table, self._refused)
        self._bind: Callable[[Client, str], None] | None = None
        self._expired: set[str] = set()
        self._refusals = Refusals(stop=settings.on_revoked == "stop")
        self.table.router.follow(self.changed, self.expire, self.failing)

    # Looking up.

    def check_may_close(self) -> None:
        """Raise ``_STATE`` on a mover's thread: close() waits for its end."""
        with self.table.locked():
            if any(mover.is_current() for mover in self.movers.values()):
                text = "close() waits for moves, and cannot be called from their on_route_change"
                raise kafka_exception(KafkaError._STATE, text)

    def bind_to(self, transactions: Transactions) -> None:
        """Have each channel's first message in a transaction tell which cluster that lives on."""
        self._bind = lambda client, channel: transactions.bind(client.native, channel)
        self.table.use(transactions)

    def connect(self, channel: str, *, reports: bool = False) -> Pair:
        """The senders of a channel that has none at the moment; asks the catalog where needed.

        Args:
            reports: the application comes with a delivery callback.
        """
        table = self.table
        while True:
            home = self.find(channel, reports=reports)
            if self._bind is not None:  # may ask the cluster: not under the lock
                self.cluster_check.ask(channel, home)
                self._bind(home.client, channel)
            with table.locked():
                table.check_open()
                latest = table.homes.get(channel)
                certain = channel not in self._expired and not self._refusals.stops(channel)
                if certain and latest is not None and latest.client is home.client:
                    self.cluster_check.check(channel, latest)
                    return table.install(channel, latest)

    def find(self, channel: str, *, reports: bool) -> Home:
        """Where the channel lives, looked up where it is not known or no longer certain."""
        table = self.table
        with table.locked():
            table.check_open()
            self._refusals.check(channel)
            home = table.homes.get(channel)
            if home is not None and channel not in self._expired:
                return home
        route = table.router.route(channel)  # may ask the catalog: not under the lock
        with table.locked():
            table.check_open()
            if reports:
                table.want_reports()
            self._expired.discard(channel)
            home = table.homes.get(channel)
            if home is None:
                home = Home(table.router.client(table.router.place(route)), route)
                table.settle(channel, home)
            elif home.route != route:
                self.move(home.client, channel)
            return home

    def native_of(self, channel: str) -> BackendProducer:
        """The backend's client of a channel; raises as :meth:`find`."""
        return self.find(channel, reports=False).client.native

    def send(self, channel: str, *message: Any) -> None:
        """Produce to wherever `channel` lives now, or is held."""
        pair = self.table.senders.get(channel)
        if pair is None:
            pair = self.connect(channel)
        pair[1](*message)

    # Following.

    def changed(self, channel: str, _old: Route, _new: Route) -> None:
        """A route changed (on the refresher's thread)."""
        table = self.table
        with table.locked():
            if not table.closed and (home := table.homes.get(channel)) is not None:
                self.move(home.client, channel)

    def expire(self, channel: str) -> None:
        """The route is too old to be used: the next produce() asks, and raises what it is told."""
        with self.table.locked():
            if channel in self.table.homes and channel not in self._expired:
                self._expired.add(channel)
                self.table.forget_senders([channel])
                _log.error("channel %s: the catalog confirmed no route for too long", channel)

    def failing(self, channel: str, _route: Route, error: Exception | None) -> None:
        """The catalog refuses a channel that worked, fails in another way, or works again."""
        table = self.table
        with table.locked():
            home = table.homes.get(channel)
            if table.closed or home is None:
                return
            phase = self._refusals.heed(channel, error)
            if self._refusals.stops(channel):
                table.forget_senders([channel])
            spot = home.spot
        if phase is not None:
            detail = "" if error is None else str(error)
            table.announcer.tell(RouteChange(channel, "produce", phase, spot, spot, detail=detail))

    def move(self, client: Client, channel: str | None = None) -> None:
        """Have a thread look what there is to do for `client` (and `channel`)."""
        with self.table.locked():
            mover = self.movers.get(client)
            if mover is not None:
                mover.wake(channel)
                return
            if self.table.stopped:
                return
            mover = self.movers[client] = Mover(self.table, client, self._doubts, self._ended)
            self.table.look()
            mover.wake(channel)
            mover.start()

    def _ended(self, client: Client, mover: Mover) -> None:
        """`mover` has nothing to do any more."""
        with self.table.locked():
            if self.movers.get(client) is mover:
                del self.movers[client]

    def _refused(self, client: Client, channel: str, route: Route) -> bool:
        """Whether the channel's mover knows that it cannot take `route`."""
        mover = self.movers.get(client)
        return mover is not None and mover.opening.refusal(channel, route) is not None

    # What native clients hand in (see Desk).

    def astray(self, reports: Reports, message: Undelivered, topic: str | None) -> bool:
        return self._doubts.park(reports, message, topic)

    def unheard(self, channel: str, error: KafkaError) -> None:
        self.table.unheard(channel, error)

    def report_later(
        self, callback: DeliveryCallback, error: KafkaError | None, message: Message
    ) -> None:
        self.table.report_later(callback, error, message)

    def wants_reports(self, reports: Reports, channel: str, *message: Any) -> None:
        """The client is replaced by one that reports successes, too; the message waits for it."""
        with self.table.locked():
            client = self.table.homes[channel].client
            if client.reports is reports:
                self.table.replace_quiet(client)
        self.send(channel, *message)

    # Looking.

    def is_moving(self) -> bool:
        """Whether some messages are on their way from one client to another."""
        with self.table.locked():
            return any(mover.active or client.doubtful for client, mover in self.movers.items())

    def underway(self) -> Mapping[str, Underway]:
        """The channels that move, and how far they have come."""
        with self.table.locked():
            movers = list(self.movers.values())
        return {channel: one for mover in movers for channel, one in mover.underway().items()}

    def rest(self) -> None:
        """Let poll() take the short way again, if nothing moves any more."""
        with self.table.locked():
            self.table.rest(moving=bool(self.movers or self.cluster_check.active))

    # The end.

    def stop(self) -> None:
        """End all movers; what they hold is reported as purged, in the table's `later`."""
        with self.table.locked():
            self.table.end_moves()
            for mover in (movers := list(self.movers.values())):
                mover.stop()
        self.cluster_check.stop()
        for mover in movers:
            mover.join()
        for client in self.table.clients():
            self.give_up(client, end=True)

    def give_up(self, client: Client, *, end: bool) -> None:
        """Fail what the client does not have (it was never sent, or shall be sent again)."""
        left = [*client.take_strays(), *client.reports.collected(go_on=not end)]
        left += self.cluster_check.take(client, end=end)
        if client.hold is not None:
            left += client.hold.take_all(end=end)
        self.table.give_up(left)

    def after_fork_in_child(self) -> None:
        """Nothing of the parent's goes on here, neither clients nor moves nor reports."""
        for mover in self.movers.values():
            mover.abandon()
        self.movers = {}
        self._expired.clear()
        self._refusals.clear()
        self.cluster_check = ClusterCheck(self.table)
        self.table.after_fork_in_child()
