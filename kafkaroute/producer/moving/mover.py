"""Moves the channels of one native client, on a thread that lives while there is a move."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from ...catalog.cache.confirm import confirm
from ...events import Phase
from ...forking import abandon
from ...places import Place
from ..client import Client, Home
from ..status import Underway
from ..table import Table
from ..undelivered import in_order
from .credentials import replace_credentials
from .doubts import Doubts
from .drain import empty
from .journal import Change, Journal
from .opening import Opening
from .resend import NeedsReportsError, Resend
from .strays import Strays
from .transactional import between_transactions

__all__ = ["Mover"]

_log = logging.getLogger("kafkaroute.moves")

#: Seconds until a move that failed in an unforeseen way is tried again.
_RETRY = 1.0


class Mover:
    """See docs/moves.md, "Producer". One for each native client with something to move.

    Args:
        doubts: asks the catalog about what the client fails.
        ended: called, under the table's lock, when there is nothing to do any more.

    Attributes:
        journal: how far each channel has come.
        opening: the new places.
        active: messages are neither all in the old client nor all in the new one.
    """

    def __init__(
        self, table: Table, client: Client, doubts: Doubts, ended: Callable[[Client, Mover], None]
    ) -> None:
        self._table = table
        self._client = client
        self._doubts = doubts
        self._ended = ended
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._dirty: set[str] = set()
        self._seen = time.monotonic()
        self.journal = Journal(table.announcer)
        self.opening = Opening(table.router, client, self.journal)
        self.active = False
        self._strays = Strays(table, client, self._stop)
        self._thread = threading.Thread(target=self._run, name="kafkaroute-mover", daemon=True)

    # Called by others, under the table's lock.

    def start(self) -> None:
        self._thread.start()

    def wake(self, channel: str | None = None) -> None:
        """There is something new: a changed route, strays, a hold."""
        if channel is not None:
            if not self._dirty:
                self._seen = time.monotonic()
            self._dirty.add(channel)
        self._wake.set()

    def stop(self) -> None:
        """The Producer closes: end soon, and leave what is held."""
        self._stop.set()
        self._wake.set()

    def is_current(self) -> bool:
        """Whether this code runs on its thread."""
        return threading.current_thread() is self._thread

    def join(self) -> None:
        self._thread.join()

    def abandon(self) -> None:
        """In the child of a fork, where the thread does not exist."""
        for client in (self._client, *self.opening.candidates()):
            abandon(client)

    def underway(self) -> Mapping[str, Underway]:
        """The channels that move: how far they have come."""
        found = {}
        for channel, phase in list(self.journal.phases.items()):
            change = self.journal.plan.get(channel)
            if change is None:
                found[channel] = Underway(phase)
            else:
                refusal = self.opening.refusal(channel, change.new)
                found[channel] = Underway(phase, change.new, change.ends, refusal)
        return found

    # The thread.

    def _run(self) -> None:
        retry_at = float("inf")
        while True:
            try:
                self._step()
                retry_at = self.opening.retry_at
            except Exception:
                _log.exception("a move failed; it is tried again")
                retry_at = time.monotonic() + _RETRY
            if self._ends():
                break
            if retry_at < float("inf"):
                self._wake.wait(max(0.0, retry_at - time.monotonic()))
            else:
                self._wake.wait()
        self.opening.close()

    def _ends(self) -> bool:
        table, client = self._table, self._client
        with table.locked():
            held = client.hold is not None or client.reports.collecting
            work = self._wake.is_set() or self._dirty or client.strays or held
            if work and not self._stop.is_set():
                return False
            self._ended(client, self)
            return True

    def _step(self) -> None:
        self._wake.clear()
        client = self._client
        self._strays.send()
        if client.reports.collecting:
            failed = self._doubts.ask(client, self._stop)
            with self._table.locked():
                self._dirty |= failed
        if changes := self._look():
            with self._table.locked():
                others = set(self._table.channels_of(client)) - self._dirty
            confirm(self._table.router.cache, others, self._stop)
            changes = self._look()
        if self._stop.is_set():
            return
        if changes and replace_credentials(
            self._table, client, changes, lambda: self._take_back(changes)
        ):
            self._credentials_replaced(changes)
            changes = []
        until = time.monotonic() + self._table.settings.timeout
        # While messages are held for another reason, nobody waits for a place that may not answer,
        # nor for long because others have failed.
        ready, targets = self.opening.open(
            changes,
            lambda: (
                self._stop.is_set()
                or (client.hold is not None and not (client.doubtful and time.monotonic() < until))
            ),
        )
        if ready and (not client.tracked or self._table.transactions is not None):
            self._switch(ready, targets)
        elif ready or (client.hold is not None and not client.doubtful):
            self._sequence(ready, targets)
        elif client.doubtful:
            self._go_on()
        if client.hold is None:
            self._strays.settle(self._wake)

    # Looking.

    def _look(self) -> list[Change]:
        """The channels that are to live elsewhere."""
        table, client = self._table, self._client
        changes: list[Change] = []
        for channel in list(self._dirty):
            route = table.router.cache.peek(channel)
            with table.locked():
                home = table.homes.get(channel)
                # One that has left is its new client's; see Dispatch.settle.
                if home is not None and home.client is client and route is not None:
                    if table.leads_elsewhere(home, route):
                        place = table.router.place(route)
                        changes.append(Change(channel, home.route, route, client.place, place))
                        continue
                    table.renew(channel, Home(client, route))
                self._dirty.discard(channel)
            self.journal.forget(channel)
        for change in changes:
            self.journal.saw(change)
        return changes

    # Moving.

    def _switch(self, changes: list[Change], targets: dict[Place, Client]) -> None:
        """Without redelivery: what the old client has accepted stays with it. Where there are
        transactions, between two of them."""
        table, client = self._table, self._client
        retired = False

        def swap() -> None:
            nonlocal retired
            with table.locked():
                for change in changes:
                    target = self._shared(change.place, targets)
                    table.settle(change.channel, Home(target, change.new))
                table.forget_senders(change.channel for change in changes)
                retired = table.retire_unused(client)

        if table.transactions is None:
            swap()
        elif not between_transactions(
            table, client, {id(t): t for t in targets.values()}.values(), swap, self._stop
        ):
            return
        self._tell(Phase.RELEASED, changes)
        self._leave(changes, retired=retired and client in table.retired)

    def _take_back(self, changes: list[Change]) -> bool:
        """See :func:`.drain.empty`. The client is held, or retired."""
        client = self._client
        client.reports.divert(1)
        try:
            return empty(
                client,
                changes[0].old.topic if changes else None,
                seen=self._seen,
                timeout=self._table.settings.drain_timeout,
                stopped=self._stop.is_set,
            )
        finally:
            client.reports.divert(-1)

    def _credentials_replaced(self, changes: list[Change]) -> None:
        """On the live client. What was taken from it goes back, in front of what is held."""
        client = self._client
        self._tell(Phase.CREDENTIALS, changes)
        if client.hold is not None:
            self._tell_rescued(self._hold_again(go_on=False))
        for change in changes:
            self._finished(change)

    def _go_on(self) -> None:
        """The doubts are settled: nothing moves, or not now."""
        assert self._client.hold is not None
        # A login that the live client refused, and no other client to be had: what was taken from
        # it has not failed.
        taken = self._client.reports.give_back(lambda message: message.report is None)
        self._client.hold.put_first(in_order(taken))
        self._strays.settle(self._wake)
        try:
            self._release()
        except NeedsReportsError:
            self._table.want_reports()
            self._sequence([], {})

    def _sequence(self, changes: list[Change], targets: dict[Place, Client]) -> None:
        """Hold, drain, rescue, release."""
        table, client = self._table, self._client
        moved = changes
        with table.locked():
            self.active = True
            client.doubt(doubtful=False)
            self._strays.refuse_staying({change.channel for change in changes})
            client.reports.divert(1)
            client.reports.collect()
            if client.hold is None:
                table.hold(client)
        try:
            self._tell(Phase.HELD, changes)
            rescued: Counter[str] = Counter()
            released = False
            while not released:
                rescued += self._empty(changes)
                if self._stop.is_set():
                    return
                self._settle_homes(changes, targets)
                try:
                    released = self._release()
                except NeedsReportsError:
                    table.want_reports()
                    changes, targets = [], {}
            self.active = False
            with table.locked():
                retired = table.retire_unused(client)
            self._tell_rescued(rescued)
            self._tell(Phase.RELEASED, moved)
            self._leave(moved, retired=retired)
        finally:
            self.active = False
            client.reports.divert(-1)

    def _empty(self, changes: list[Change]) -> Counter[str]:
        """Drain the old client, or take from it what it does not get rid of; put that in front of
        what is held. Returns how many messages of each channel that were."""
        if self._take_back(changes):
            self._tell(Phase.DRAINED, changes)
        return self._hold_again(go_on=True)

    def _hold_again(self, *, go_on: bool) -> Counter[str]:
        """Put what the client failed in front of what is held; `go_on` keeps collecting. Returns
        how many messages of each channel that were."""
        client = self._client
        failed = in_order(client.reports.collected(go_on=go_on))
        assert client.hold is not None
        client.hold.put_first(failed)
        return Counter(message.channel for message in failed)

    def _settle_homes(self, changes: list[Change], targets: dict[Place, Client]) -> None:
        """From now on the channels live at the new places; what stays, stays with the client, or
        with one that reports successes, too, if that is needed now."""
        table, client = self._table, self._client
        with table.locked():
            leaving = {change.channel: change for change in changes}
            shared: dict[Place, Client] = {}
            for channel in table.channels_of(client):
                place, route = client.place, table.homes[channel].route
                if (change := leaving.get(channel)) is not None:
                    place, route = change.place, change.new
                if place not in shared:
                    here = place == client.place
                    shared[place] = (
                        table.successor(client) if here else self._shared(place, targets)
                    )
                table.settle(channel, Home(shared[place], route))

    def _shared(self, place: Place, targets: dict[Place, Client]) -> Client:
        """The client of another place, shared from now on."""
        if place == self._client.place:
            return self._client
        client = self._table.share(place, targets[place])
        self.opening.taken(place, client)
        return client

    def _release(self) -> bool:
        """Send what is held and let produce() send by itself; False when the Producer closes, or
        more has failed while a doubtful client is released.

        Raises NeedsReportsError.
        """
        table, client = self._table, self._client
        hold = client.hold
        assert hold is not None

        def interrupted() -> bool:
            return self._stop.is_set() or (client.doubtful and client.reports.collecting)

        return Resend(table, client).release(hold, lambda: table.lift(client), interrupted)

    # Afterwards.

    def _leave(self, changes: list[Change], *, retired: bool) -> None:
        """The end of a move; a client that nobody uses any more is closed."""
        if retired and not self._strays.close_old():
            return  # close() does it
        for change in changes:
            self._tell(Phase.DONE, [change])
            self._finished(change)
        self._wake.set()  # something may have changed again meanwhile

    def _finished(self, change: Change) -> None:
        self.journal.forget(change.channel)

    # Events.

    def _tell(self, phase: Phase, changes: Iterable[Change]) -> None:
        for change in changes:
            self.journal.tell(phase, change)

    def _tell_rescued(self, rescued: Counter[str]) -> None:
        for channel, count in rescued.items():
            change = self.journal.plan.get(channel)
            if change is None:  # it stays, and its client was emptied for others
                route, place = self._table.homes[channel].route, self._client.place
                change = Change(channel, route, route, place, place)
            self.journal.tell(Phase.RESCUED, change, count=count)
            if change.old is change.new:
                self.journal.forget(channel)
