"""Which native client sends which channel right now, and what stands in between: the state that
produce(), the movers and the reports of native clients share."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ..backend.contract import Backend, DeliveryCallback
from ..errors import ClosedError
from ..events import Announcer
from ..forking import abandon
from ..messages import KafkaError, Message
from ..places import Place
from ..route import Route
from ..router import Router
from ..settings import Settings
from .client import Client, Home
from .hold import Hold, Holds
from .leftovers import stay_last
from .reports import Desk, Pair, UnheardFailures
from .transactions import Transactions
from .undelivered import Undelivered, report_of

__all__ = ["Following", "Table"]


class Following(Desk, Protocol):
    """What the table has done by whoever follows routes and sends messages."""

    def move(self, client: Client, channel: str | None = None) -> None:
        """Something is to be done for `client` (and `channel`), by a thread of its own."""

    def send(self, channel: str, *message: Any) -> None:
        """Produce to wherever `channel` lives now, or is held."""


class Table:
    """Every call leaves the table in order; several that belong together are made under
    :meth:`locked`. Nothing outside this module writes to it.

    Args:
        following: moves channels, and takes what native clients report.

    Attributes:
        senders: channel → how to send; a channel is missing until it is (again) looked up.
        homes: channel → where it lives; kept while its sender is missing.
        holds: channel → the holds between produce() and its home.
        retired: clients that no channel uses any more, until they are closed.
        later: reports that a mover collected for the application.
        busy: something moves, or there is something in `later`: poll() has to look.
        activity: grows whenever messages leave the clients that len() counts.
        hears_reports: the application uses delivery callbacks.
        closed: produce() is refused.
        stopped: movers have ended for good.
        given_up: messages that close() failed before any client had them.
        transactions: where there are any.
    """

    def __init__(self, settings: Settings, following: Following) -> None:
        self.settings = settings
        self._following = following
        self._lock = threading.RLock()
        self.senders: dict[str, Pair] = {}
        self.homes: dict[str, Home] = {}
        self.holds = Holds()
        self.retired: list[Client] = []
        self.later: deque[tuple[DeliveryCallback, KafkaError | None, Message]] = deque()
        self.busy = False
        self.activity = 0
        self.hears_reports = False
        self.closed = False
        self.stopped = False
        self.given_up = 0
        self.transactions: Transactions | None = None
        self.announcer = Announcer(settings.on_route_change)
        self._unheard = UnheardFailures()
        self.router: Router[Client] = Router(settings, "produce", self._open)

    def _open(self, backend: Backend, place: Place) -> Client:
        redeliver = self.settings.redeliver
        client = Client(
            backend, place, self._following, redeliver=redeliver, reports=self.hears_reports
        )
        stay_last()
        return client

    def locked(self) -> AbstractContextManager[object]:
        """Nobody else reads or changes anything until it is left. Reentrant."""
        return self._lock

    # Open or closed.

    def check_open(self) -> None:
        """Raise ClosedError after :meth:`shut`."""
        if self.closed:
            raise ClosedError("the Producer is closed")

    def shut(self) -> bool:
        """Refuse every later produce(); False where that is so already."""
        with self._lock:
            if self.closed:
                return False
            self.closed = True
            self.senders.clear()
            return True

    def end_moves(self) -> None:
        """Nothing is moved any more."""
        with self._lock:
            self.stopped = True

    def use(self, transactions: Transactions) -> None:
        """From now on, each message belongs to one of `transactions`."""
        self.transactions = transactions

    # Homes.

    def home(self, channel: str) -> Home:
        """Where the channel lives; looked up and opened where it is not in use yet."""
        home = self.homes.get(channel)
        if home is None:
            route = self.router.route(channel)
            return Home(self.router.client(self.router.place(route)), route)
        return home

    def channels_of(self, client: Client) -> list[str]:
        """The channels that `client` sends."""
        with self._lock:
            return [channel for channel, home in self.homes.items() if home.client is client]

    def leads_elsewhere(self, home: Home, route: Route) -> bool:
        """Whether `route` is another place than `home`."""
        return route.topic != home.route.topic or self.router.place(route) != home.client.place

    def settle(self, channel: str, home: Home) -> None:
        """From now on the channel lives at `home`."""
        with self._lock:
            self.homes[channel] = home
            if home.client.hold is not None:
                self.holds.add(channel, home.client.hold)
            route = self.router.cache.peek(channel)
            if route is not None and route != home.route:
                # It changed while the way to `home` was made.
                self._following.move(home.client, channel)

    def renew(self, channel: str, home: Home) -> None:
        """The channel stays with its client, by another route that leads to the same place."""
        with self._lock:
            self.homes[channel] = home

    # Senders.

    def install(self, channel: str, home: Home) -> Pair:
        """What produce() finds for `channel` from now on."""
        with self._lock:
            front = self.holds.first(channel)
            direct = home.client.direct
            pair = direct(channel, home.route.topic) if front is None else front.pair(channel)
            self.senders[channel] = pair
            return pair

    def forget_senders(self, channels: Iterable[str] | None = None) -> None:
        """The next message of each (of every channel) looks its channel up."""
        with self._lock:
            if channels is None:
                self.senders.clear()
                return
            for channel in channels:
                self.senders.pop(channel, None)

    # Clients.

    def share(self, place: Place, candidate: Client) -> Client:
        """The client of `place` for all channels: `candidate`, unless there is one, or it is not
        to be had any more."""
        with self._lock:
            client = self.router.peek(place)
            if client is None:
                usable = candidate.place == place and not candidate.gone
                client = candidate if usable else self.router.open(place)
                if client in self.retired:
                    self.retired.remove(client)
                self.router.adopt(place, client)
            return client

    def successor(self, client: Client) -> Client:
        """The client of what stays at `client`: another one where `client` reports failures only and
        the application waits for reports by now."""
        with self._lock:
            if not (client.reports.quiet and self.hears_reports):
                return client
            successor = self.router.open(client.place)
            self.router.adopt(client.place, successor)
            self.retired.append(client)  # it is still to be counted, and closed
            return successor

    def relocate(self, client: Client, place: Place) -> bool:
        """`client` serves `place` from now on; False where another client does already."""
        with self._lock:
            if self.router.peek(place) is not None:
                return False
            if self.router.peek(client.place) is client:
                self.router.forget(client.place)
            self.router.adopt(place, client)
            client.move_to(place)
            return True

    def retire_unused(self, client: Client) -> bool:
        """Take `client` out of use if no channel lives there."""
        with self._lock:
            if any(home.client is client for home in self.homes.values()):
                return False
            if self.router.peek(client.place) is client:
                self.router.forget(client.place)
            if client not in self.retired:
                self.retired.append(client)
            return True

    def condemn(self, client: Client) -> bool:
        """No channel may come back to `client`; False where one has."""
        with self._lock:
            if client not in self.retired:
                return False
            client.condemn()
            return True

    def release(self, client: Client) -> bool:
        """Whether `client`, retired, is the caller's to close now: no channel came back."""
        with self._lock:
            if not self.condemn(client):
                return False
            self.retired.remove(client)
            return True

    def clients(self) -> list[Client]:
        """All that may have something to deliver."""
        with self._lock:
            return [*self.router.clients(), *self.retired]

    def take_all(self) -> list[Client]:
        """Every client, to be closed by the caller."""
        with self._lock:
            clients = [*self.router.forget_all(), *self.retired]
            self.retired = []
            return clients

    # Holds.

    def hold(self, client: Client) -> None:
        """From now on, produce() keeps what `client` would send."""
        with self._lock:
            self.activity += 1
            hold = client.begin_hold(self._following.send)
            channels = self.channels_of(client)
            for channel in channels:
                self.holds.add(channel, hold)
            self.forget_senders(channels)

    def doubt(self, client: Client) -> None:
        """Messages failed: nothing younger is to overtake them while it is found out why."""
        with self._lock:
            self.activity += 1
            if client.hold is None:
                self.hold(client)
                client.doubt(doubtful=True)

    def hold_channel(self, channel: str, client: Client) -> Hold:
        """A hold of the channel's own, in front of `client`."""
        with self._lock:
            hold = client.hold_like(self._following.send)
            self.holds.add(channel, hold)
            self.busy = True
            return hold

    def lift(self, client: Client) -> None:
        """The hold of `client` is empty and ends."""
        with self._lock:
            hold = client.end_hold()
            if hold is not None:
                self.lift_hold(hold)

    def lift_hold(self, hold: Hold) -> None:
        """`hold` is empty and ends: channels that passed it look up where to send."""
        with self._lock:
            self.activity += 1
            self.forget_senders(self.holds.lift(hold))

    def want_reports(self) -> None:
        """The application uses delivery callbacks."""
        self.hears_reports = True

    def replace_quiet(self, client: Client) -> None:
        """Have `client`, which reports failures only, replaced by one that reports successes, too."""
        with self._lock:
            if self.stopped:
                raise ClosedError("the Producer is closed")
            self.want_reports()
            if client.hold is None:
                self.hold(client)
                self._following.move(client)

    # Messages that no client has.

    def stray(self, message: Undelivered) -> Client:
        """A message is to be sent again by whichever client its channel has now: that client."""
        with self._lock:
            self.activity += 1
            client = self.homes[message.channel].client
            client.strays.append(message)
            return client

    def follow(self, client: Client, channel: str | None = None) -> None:
        """Have a mover look what there is to do for `client` (and `channel`)."""
        self._following.move(client, channel)

    def give_up(self, messages: Iterable[Undelivered]) -> None:
        """Fail what no client has: it was never sent, or was to be sent again."""
        for message in messages:
            self.given_up += 1
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
        with self._lock:
            self.activity += 1

    def unheard(self, channel: str, error: KafkaError) -> None:
        """A message without a callback failed for good."""
        self._unheard.add(channel, error)

    def report_later(
        self, callback: DeliveryCallback, error: KafkaError | None, message: Message
    ) -> None:
        """The application's next poll(), flush() or close() is to call `callback`."""
        with self._lock:  # or rest() might overlook it
            self.later.append((callback, error, message))
            self.busy = True

    # Looking.

    def look(self) -> None:
        """poll() is to look at more than clients: something moves."""
        self.busy = True

    def rest(self, *, moving: bool) -> None:
        """Let poll() take the short way again, if nothing waits any more; `moving`: something moves."""
        with self._lock:
            self.busy = bool(moving or self.retired or self.later)

    def counters(self) -> dict[str, int]:
        """What happened so far: phases of moves, and messages that failed unheard."""
        return {**self.announcer.counters(), "failed without a callback": self._unheard.count}

    def after_fork_in_child(self) -> None:
        """Nothing of the parent's goes on here, neither clients nor reports."""
        self._lock = threading.RLock()
        for client in self.retired:
            abandon(client)
        self.senders.clear()
        self.homes = {}
        self.holds = Holds()
        self.retired = []
        self.later = deque()
        self.busy = False
        self.announcer = Announcer(self.settings.on_route_change)
        self.router.after_fork_in_child()
