"""Moves the channels of one native client, on a thread that lives while there is a move."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...catalog.cache.confirm import confirm
from ...events import Phase
from ...forking import abandon
from ...router import Place
from ..client import Home, Link
from ..undelivered import in_order
from .credentials import replace_credentials
from .drain import empty
from .journal import Change, Journal
from .opening import Opening
from .resend import NeedsReportsError, Outlets
from .strays import Strays
from .transactional import between_transactions

if TYPE_CHECKING:
    from ..dispatch import Dispatch

__all__ = ["Mover"]

_log = logging.getLogger("kafkaroute.moves")

#: Seconds until a move that failed in an unforeseen way is tried again.
_RETRY = 1.0
#: Messages sent at the end of a hold while nobody can append, and at once before that.
_LAST_CHUNK, _CHUNK = 1000, 5000
_SLICE = 0.02


class Mover:
    """See docs/moves.md, "Producer". One for each native client with something to move.

    Attributes:
        journal: how far each channel has come.
        opening: the new places.
        active: messages are neither all in the old client nor all in the new one.
    """

    def __init__(self, dispatch: Dispatch, link: Link) -> None:
        self._dispatch = dispatch
        self._link = link
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._dirty: set[str] = set()
        self._seen = time.monotonic()
        self.journal = Journal(dispatch.announcer)
        self.opening = Opening(dispatch.router, link, self.journal)
        self.active = False
        self._strays = Strays(dispatch, link, self._stop)
        self._thread = threading.Thread(target=self._run, name="kafkaroute-mover", daemon=True)

    # Called by others, with the dispatch's lock held.

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
        for link in (self._link, *self.opening.candidates()):
            abandon(link)

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
        dispatch, link = self._dispatch, self._link
        with dispatch.lock:
            held = link.hold is not None or link.tracker.collecting
            work = self._wake.is_set() or self._dirty or link.strays or held
            if work and not self._stop.is_set():
                return False
            if dispatch.movers.get(link) is self:
                del dispatch.movers[link]
            return True

    def _step(self) -> None:
        self._wake.clear()
        link = self._link
        self._strays.send()
        if link.tracker.collecting:
            failed = self._dispatch.doubts.ask(link, self._stop)
            with self._dispatch.lock:
                self._dirty |= failed
        if changes := self._look():
            with self._dispatch.lock:
                others = set(self._dispatch.channels_of(link)) - self._dirty
            confirm(self._dispatch.router.cache, others, self._stop)
            changes = self._look()
        if self._stop.is_set():
            return
        if changes and replace_credentials(
            self._dispatch, link, changes, lambda: self._take_back(changes)
        ):
            self._credentials_replaced(changes)
            changes = []
        until = time.monotonic() + self._dispatch.settings.timeout
        # While messages are held for another reason, nobody waits for a place that may not answer,
        # nor for long because others have failed.
        ready, targets = self.opening.open(
            changes,
            lambda: (
                self._stop.is_set()
                or (link.hold is not None and not (link.doubtful and time.monotonic() < until))
            ),
        )
        if ready and (not link.tracked or self._dispatch.transactions is not None):
            self._switch(ready, targets)
        elif ready or (link.hold is not None and not link.doubtful):
            self._sequence(ready, targets)
        elif link.doubtful:
            self._go_on()
        if link.hold is None:
            self._strays.settle(self._wake)

    # Looking.

    def _look(self) -> list[Change]:
        """The channels that are to live elsewhere."""
        dispatch, link = self._dispatch, self._link
        changes: list[Change] = []
        for channel in list(self._dirty):
            route = dispatch.router.cache.peek(channel)
            with dispatch.lock:
                home = dispatch.homes.get(channel)
                # One that has left is its new client's; see Dispatch.settle.
                if home is not None and home.link is link and route is not None:
                    if dispatch.leads_elsewhere(home, route):
                        place = dispatch.router.place(route)
                        changes.append(Change(channel, home.route, route, link.place, place))
                        continue
                    dispatch.homes[channel] = Home(link, route)
                self._dirty.discard(channel)
            self.journal.forget(channel)
        for change in changes:
            self.journal.saw(change)
        return changes

    # Moving.

    def _switch(self, changes: list[Change], targets: dict[Place, Link]) -> None:
        """Without redelivery: what the old client has accepted stays with it. Where there are
        transactions, between two of them."""
        dispatch, link = self._dispatch, self._link
        retired = False

        def swap() -> None:
            nonlocal retired
            with dispatch.lock:
                for change in changes:
                    target = self._shared(change.place, targets)
                    dispatch.settle(change.channel, Home(target, change.new))
                dispatch.forget_senders(change.channel for change in changes)
                retired = dispatch.retire_unused(link)

        if dispatch.transactions is None:
            swap()
        elif not between_transactions(
            dispatch, link, {id(t): t for t in targets.values()}.values(), swap, self._stop
        ):
            return
        self._tell(Phase.RELEASED, changes)
        self._leave(changes, retired=retired and link in dispatch.retired)

    def _take_back(self, changes: list[Change]) -> bool:
        """See :func:`.drain.empty`. The link is held, or retired."""
        link = self._link
        link.tracker.divert(1)
        try:
            return empty(
                link,
                changes[0].old.topic if changes else None,
                seen=self._seen,
                timeout=self._dispatch.settings.drain_timeout,
                stopped=self._stop.is_set,
            )
        finally:
            link.tracker.divert(-1)

    def _credentials_replaced(self, changes: list[Change]) -> None:
        """On the live client. What was taken from it goes back, in front of what is held."""
        link = self._link
        self._tell(Phase.CREDENTIALS, changes)
        if link.hold is not None:
            self._tell_rescued(self._hold_again(go_on=False))
        for change in changes:
            self._finished(change)

    def _go_on(self) -> None:
        """The doubts are settled: nothing moves, or not now."""
        assert self._link.hold is not None
        # A login that the live client refused, and no other client to be had: what was taken from
        # it has not failed.
        taken = self._link.tracker.give_back(lambda message: message.report is None)
        self._link.hold.put_first(in_order(taken))
        self._strays.settle(self._wake)
        try:
            self._release()
        except NeedsReportsError:
            self._dispatch.reports = True
            self._sequence([], {})

    def _sequence(self, changes: list[Change], targets: dict[Place, Link]) -> None:
        """Hold, drain, rescue, release."""
        dispatch, link = self._dispatch, self._link
        moved = changes
        with dispatch.lock:
            self.active = True
            link.doubtful = False
            self._strays.refuse_staying({change.channel for change in changes})
            link.tracker.divert(1)
            link.tracker.collect()
            if link.hold is None:
                dispatch.hold(link)
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
                    dispatch.reports = True
                    changes, targets = [], {}
            self.active = False
            with dispatch.lock:
                retired = dispatch.retire_unused(link)
            self._tell_rescued(rescued)
            self._tell(Phase.RELEASED, moved)
            self._leave(moved, retired=retired)
        finally:
            self.active = False
            link.tracker.divert(-1)

    def _empty(self, changes: list[Change]) -> Counter[str]:
        """Drain the old client, or take from it what it does not get rid of; put that in front of
        what is held. Returns how many messages of each channel that were."""
        if self._take_back(changes):
            self._tell(Phase.DRAINED, changes)
        return self._hold_again(go_on=True)

    def _hold_again(self, *, go_on: bool) -> Counter[str]:
        """Put what the client failed in front of what is held; `go_on` keeps collecting. Returns
        how many messages of each channel that were."""
        link = self._link
        failed = in_order(link.tracker.collected(go_on=go_on))
        assert link.hold is not None
        link.hold.put_first(failed)
        return Counter(message.channel for message in failed)

    def _settle_homes(self, changes: list[Change], targets: dict[Place, Link]) -> None:
        """From now on the channels live at the new places; what stays, stays with the client, or
        with one that reports successes, too, if that is needed now."""
        dispatch, link = self._dispatch, self._link
        with dispatch.lock:
            leaving = {change.channel: change for change in changes}
            shared: dict[Place, Link] = {}
            for channel in dispatch.channels_of(link):
                place, route = link.place, dispatch.homes[channel].route
                if (change := leaving.get(channel)) is not None:
                    place, route = change.place, change.new
                if place not in shared:
                    here = place == link.place
                    shared[place] = self._successor() if here else self._shared(place, targets)
                dispatch.settle(channel, Home(shared[place], route))

    def _shared(self, place: Place, targets: dict[Place, Link]) -> Link:
        """The client of another place, shared from now on. Lock held."""
        if place == self._link.place:
            return self._link
        link = self._dispatch.share(place, targets[place])
        self.opening.taken(place, link)
        return link

    def _successor(self) -> Link:
        """The client of what stays. Lock held."""
        dispatch, link = self._dispatch, self._link
        if not (link.tracker.quiet and dispatch.reports):
            return link
        successor = dispatch.router.open(link.place)
        dispatch.router.adopt(link.place, successor)
        dispatch.retired.append(link)  # it is still to be counted, and closed
        return successor

    def _release(self) -> bool:
        """Send what is held and let produce() send by itself; False when the Producer closes, or
        more has failed while a doubtful link is released.

        Raises NeedsReportsError.
        """
        dispatch, link = self._dispatch, self._link
        hold = link.hold
        assert hold is not None
        outlets = Outlets(dispatch, link)

        def again() -> bool:
            return link.doubtful and link.tracker.collecting

        while not (self._stop.is_set() or again()):
            before = len(hold)
            try:
                if before > _LAST_CHUNK:
                    hold.release_some(outlets.send, min(before, _CHUNK))
                # Also when more was appended than sent: the lock then slows the others down.
                if len(hold) <= _LAST_CHUNK or len(hold) >= before:
                    with dispatch.lock:
                        if not again() and hold.finish(
                            outlets.send, _LAST_CHUNK, lambda: dispatch.lift(link)
                        ):
                            return True
            except BufferError:
                outlets.make_room()
        return False

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
                route, place = self._dispatch.homes[channel].route, self._link.place
                change = Change(channel, route, route, place, place)
            self.journal.tell(Phase.RESCUED, change, count=count)
            if change.old is change.new:
                self.journal.forget(channel)
