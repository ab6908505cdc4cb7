"""Which native client sends which channel, right now."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ..backend.contract import Backend, DeliveryCallback
from ..errors import ClosedError
from ..events import Announcer, RouteChange
from ..forking import abandon
from ..messages import KafkaError, Message, kafka_exception
from ..route import Route
from ..router import Place, Router
from ..settings import Settings
from .client import Home, Link, spot_of
from .hold import Fronts
from .moving.cluster_check import Proving
from .moving.doubts import Doubts
from .moving.mover import Mover
from .reports import Pair, Tracker, Unheard
from .revoked import Refusals
from .transactions import Transactions
from .undelivered import Undelivered, report_of

__all__ = ["Dispatch"]

_log = logging.getLogger("kafkaroute.producer")


class Dispatch:
    """The state that produce(), the movers and the reports of native clients share.

    Attributes:
        senders: channel → how to send; a channel is missing until it is (again) looked up.
        homes: channel → where it lives; kept while its sender is missing.
        fronts: channel → the holds between produce() and its home.
        movers: link → what moves its channels, while there is something to move.
        retired: links that no channel uses any more, until they are closed.
        later: reports that a mover collected for the application.
        busy: something moves, or there is something in `later`: poll() has to look.
        activity: grows whenever messages leave the clients that len() counts.
        reports: the application uses delivery callbacks.
        closed: produce() is refused.
        stopped: movers have ended for good.
        proving: whether clients have reached the clusters that routes name.
        given_up: messages that close() failed before any client had them.
        bind: with transactions: called for the first message of each channel in each of them.
        transactions: where there are any.
        doubts: what comes of failures outside a move.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.senders: dict[str, Pair] = {}
        self.homes: dict[str, Home] = {}
        self.fronts = Fronts()
        self.lock = threading.RLock()
        self.movers: dict[Link, Mover] = {}
        self.retired: list[Link] = []
        self.later: deque[tuple[DeliveryCallback, KafkaError | None, Message]] = deque()
        self.busy = False
        self.activity = 0
        self.reports = False
        self.closed = False
        self.stopped = False
        self.given_up = 0
        self.announcer = Announcer(settings.on_route_change)
        self.bind: Callable[[Link, str], None] | None = None
        self.transactions: Transactions | None = None
        self.doubts = Doubts(self)
        self._expired: set[str] = set()
        self._refusals = Refusals(stop=settings.on_revoked == "stop")
        self._unheard = Unheard()
        self.proving = Proving(self)
        self.router: Router[Link] = Router(settings, "produce", self._open)
        self.router.follow(self.changed, self.expire, self.failing)

    def _open(self, backend: Backend, place: Place) -> Link:
        redeliver = self.settings.redeliver
        return Link(backend, place, self, redeliver=redeliver, reports=self.reports)

    # Looking up.

    def check_open(self) -> None:
        if self.closed:
            raise ClosedError("the Producer is closed")

    def check_may_close(self) -> None:
        with self.lock:
            if any(mover.is_current() for mover in self.movers.values()):
                text = "close() waits for moves, and cannot be called from their on_route_change"
                raise kafka_exception(KafkaError._STATE, text)

    def home(self, channel: str) -> Home:
        """Where the channel lives; looked up and opened where it is not in use yet."""
        home = self.homes.get(channel)
        if home is None:
            route = self.router.route(channel)
            return Home(self.router.client(self.router.place(route)), route)
        return home

    def connect(self, channel: str, *, reports: bool = False) -> Pair:
        """The senders of a channel that has none at the moment; asks the catalog where needed.

        Args:
            reports: the application comes with a delivery callback.
        """
        while True:
            home = self._find(channel, reports=reports)
            if self.bind is not None:  # may ask the cluster: not under the lock
                self.proving.ask(channel, home)
                self.bind(home.link, channel)
            with self.lock:
                self.check_open()
                latest = self.homes.get(channel)
                certain = channel not in self._expired and not self._refusals.stops(channel)
                if certain and latest is not None and latest.link is home.link:
                    self.proving.check(channel, latest)
                    return self._install(channel, latest)

    def _find(self, channel: str, *, reports: bool) -> Home:
        """Where the channel lives, looked up where it is not known or no longer certain."""
        with self.lock:
            self.check_open()
            self._refusals.check(channel)
            home = self.homes.get(channel)
            if home is not None and channel not in self._expired:
                return home
        route = self.router.route(channel)  # may ask the catalog: not under the lock
        with self.lock:
            self.check_open()
            self.reports = self.reports or reports
            self._expired.discard(channel)
            home = self.homes.get(channel)
            if home is None:
                home = Home(self.router.client(self.router.place(route)), route)
                self.settle(channel, home)
            elif home.route != route:
                self.move(home.link, channel)
            return home

    def _install(self, channel: str, home: Home) -> Pair:
        front = self.fronts.first(channel)
        direct = home.link.direct
        pair = direct(channel, home.route.topic) if front is None else front.pair(channel)
        self.senders[channel] = pair
        return pair

    def settle(self, channel: str, home: Home) -> None:
        """From now on the channel lives at `home`. Lock held."""
        self.homes[channel] = home
        if home.link.hold is not None:
            self.fronts.add(channel, home.link.hold)
        route = self.router.cache.peek(channel)
        if route is not None and route != home.route:
            # It changed while the way to `home` was made.
            self.move(home.link, channel)

    def share(self, place: Place, candidate: Link) -> Link:
        """The client of `place` for all channels: `candidate`, unless there is one, or it is not
        to be had any more. Lock held."""
        link = self.router.peek(place)
        if link is None:
            usable = candidate.place == place and not candidate.gone
            link = candidate if usable else self.router.open(place)
            if link in self.retired:
                self.retired.remove(link)
            self.router.adopt(place, link)
        return link

    def send(self, channel: str, *message: Any) -> None:
        """Produce to wherever `channel` lives now, or is held."""
        pair = self.senders.get(channel)
        if pair is None:
            pair = self.connect(channel)
        pair[1](*message)

    def channels_of(self, link: Link) -> list[str]:
        """The channels that `link` sends. Lock held."""
        return [channel for channel, home in self.homes.items() if home.link is link]

    def forget_senders(self, channels: Iterable[str]) -> None:
        """The next message of each looks its channel up. Lock held."""
        for channel in channels:
            self.senders.pop(channel, None)

    # Following.

    def changed(self, channel: str, _old: Route, _new: Route) -> None:
        """A route changed (on the refresher's thread)."""
        with self.lock:
            if not self.closed and (home := self.homes.get(channel)) is not None:
                self.move(home.link, channel)

    def expire(self, channel: str) -> None:
        """The route is too old to be used: the next produce() asks, and raises what it is told."""
        with self.lock:
            if channel in self.homes and channel not in self._expired:
                self._expired.add(channel)
                self.senders.pop(channel, None)
                _log.error("channel %s: the catalog confirmed no route for too long", channel)

    def failing(self, channel: str, _route: Route, error: Exception | None) -> None:
        """The catalog refuses a channel that worked, fails in another way, or works again."""
        with self.lock:
            home = self.homes.get(channel)
            if self.closed or home is None:
                return
            phase = self._refusals.heed(channel, error)
            if self._refusals.stops(channel):
                self.senders.pop(channel, None)
            spot = spot_of(home.link.place, home.route)
        if phase is not None:
            detail = "" if error is None else str(error)
            self.announcer.tell(RouteChange(channel, "produce", phase, spot, spot, detail=detail))

    def move(self, link: Link, channel: str | None = None) -> None:
        """Have a thread look what there is to do for `link` (and `channel`). Lock held."""
        mover = self.movers.get(link)
        if mover is not None:
            mover.wake(channel)
            return
        if self.stopped:
            return
        mover = self.movers[link] = Mover(self, link)
        self.busy = True
        mover.wake(channel)
        mover.start()

    def retire_unused(self, link: Link) -> bool:
        """Take `link` out of use if no channel lives there. Lock held."""
        if any(home.link is link for home in self.homes.values()):
            return False
        if self.router.peek(link.place) is link:
            self.router.forget(link.place)
        if link not in self.retired:
            self.retired.append(link)
        return True

    def release(self, link: Link) -> bool:
        """Whether `link`, retired, is the caller's to close now: no channel came back. Lock held."""
        if link not in self.retired:
            return False
        self.retired.remove(link)
        link.gone = True
        return True

    # What trackers hand in (see Desk).

    def astray(self, tracker: Tracker, message: Undelivered, topic: str | None) -> bool:
        return self.doubts.park(tracker, message, topic)

    def leads_elsewhere(self, home: Home, route: Route) -> bool:
        """Whether `route` is another place than `home`."""
        return route.topic != home.route.topic or self.router.place(route) != home.link.place

    def unheard(self, channel: str, error: KafkaError) -> None:
        self._unheard.add(channel, error)

    def report_later(
        self, callback: DeliveryCallback, error: KafkaError | None, message: Message
    ) -> None:
        with self.lock:  # or rest() might overlook it
            self.later.append((callback, error, message))
            self.busy = True

    def wants_reports(self, tracker: Tracker, channel: str, *message: Any) -> None:
        """The client is replaced by one that reports successes, too; the message waits for it."""
        with self.lock:
            link = self.homes[channel].link
            if link.tracker is tracker:
                self.replace_quiet(link)
        self.send(channel, *message)

    def replace_quiet(self, link: Link) -> None:
        """Have `link`, which reports failures only, replaced by one that reports successes, too."""
        with self.lock:
            if self.stopped:
                raise ClosedError("the Producer is closed")
            self.reports = True
            if link.hold is None:
                self.hold(link)
                self.move(link)

    def hold(self, link: Link) -> None:
        """From now on, produce() keeps what `link` would send. Lock held."""
        self.activity += 1
        hold = link.new_hold(self.send)
        channels = self.channels_of(link)
        for channel in channels:
            self.fronts.add(channel, hold)
        self.forget_senders(channels)

    def lift(self, link: Link) -> None:
        """The hold of `link` is empty and ends. Lock held."""
        hold, link.hold, link.doubtful = link.hold, None, False
        if hold is not None:
            self.forget_senders(self.fronts.lift(hold))

    # Looking.

    def links(self) -> list[Link]:
        """All that may have something to deliver."""
        with self.lock:
            return [*self.router.clients(), *self.retired]

    def is_moving(self) -> bool:
        """Whether some messages are on their way from one client to another."""
        with self.lock:
            return any(mover.active or link.doubtful for link, mover in self.movers.items())

    def rest(self) -> None:
        """Let poll() take the short way again, if nothing moves any more."""
        with self.lock:
            self.busy = bool(self.movers or self.retired or self.later or self.proving.active)

    def counters(self) -> dict[str, int]:
        """What happened so far: phases of moves, and messages that failed unheard."""
        return {**self.announcer.counters(), "failed without a callback": self._unheard.count}

    # The end.

    def stop(self) -> None:
        """End all movers; what they hold is reported as purged, in `later`."""
        with self.lock:
            self.stopped = True
            for mover in (movers := list(self.movers.values())):
                mover.stop()
        self.proving.stop()
        for mover in movers:
            mover.join()
        for link in self.links():
            self.give_up(link, end=True)

    def give_up(self, link: Link, *, end: bool) -> None:
        """Fail what the client does not have (it was never sent, or shall be sent again)."""
        left = [*link.strays, *link.tracker.collected(go_on=not end)]
        left += self.proving.take(link, end=end)
        link.strays.clear()
        if link.hold is not None:
            left += link.hold.take_all(end=end)
        self.given_up += len(left)
        for message in left:
            home = self.homes.get(message.channel)
            topic = "" if home is None else home.route.topic
            self.refuse(message, topic, message.error or KafkaError(KafkaError._PURGE_QUEUE))

    def refuse(self, message: Undelivered, topic: str, error: KafkaError) -> None:
        """A message failed for good, and no client reports it any more."""
        if message.callback is None:
            self.unheard(message.channel, error)
        else:
            report = message.report if error is message.error else None
            self.report_later(message.callback, error, report or report_of(message, topic, error))
        self.activity += 1

    def take_all(self) -> list[Link]:
        """Every link, to be closed by the caller."""
        with self.lock:
            links = [*self.router.forget_all(), *self.retired]
            self.retired = []
            return links

    def after_fork_in_child(self) -> None:
        """Nothing of the parent's goes on here, neither clients nor moves nor reports."""
        self.lock = threading.RLock()
        for mover in self.movers.values():
            mover.abandon()
        for link in self.retired:
            abandon(link)
        self.senders.clear()
        self.homes = {}
        self.fronts = Fronts()
        self.movers = {}
        self.retired = []
        self.later = deque()
        self.busy = False
        self._expired.clear()
        self._refusals.clear()
        self.announcer = Announcer(self.settings.on_route_change)
        self.proving = Proving(self)
        self.router.after_fork_in_child()
