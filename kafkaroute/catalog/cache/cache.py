"""The routes that a process knows, kept fresh in the background.

A cached channel never waits for the catalog: it is asked again before the TTL is over (at 75-95 %
of it, at random, so that clients spread out), a new route replaces the old one when it is there,
and while the catalog gives none or only bad answers the old one is served, up to `max_stale`.

Lives, in seconds:

====================  =============================================================================
a route is fresh      ``max-age`` of the answer, at most `max_ttl`, else `ttl`; at least 1
a route may be used   ``stale-if-error``, at most `max_stale`, else that, since the catalog last
                      confirmed it; never less than it is fresh
a refresh failed      asked again after 2, 4, 8, … up to the TTL, less up to half at random, or
                      when the catalog's ``Retry-After`` says, if that is later; one question at
                      a time while the catalog cannot be had
no route, not found   the error is kept for 10 (or the TTL, if shorter); the same for 401 and 403
no route, other       the error is kept for 1
a route got too old   the last error is raised at once; asked again in the background once a second
====================  =============================================================================

What is asked for may be a pattern channel; see :mod:`.patterns`.

401, 403 and 404 for a channel that worked are failures like others: the old route stays in use;
:meth:`RouteCache.state` and listeners of :meth:`RouteCache.watch_errors` tell.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable

from ...channel import Channel
from ...errors import CatalogAnswerInvalid, CatalogUnavailable, ClosedError
from ...route import Route
from ..contract import Catalog
from .asker import Asker
from .entry import Entry, Flight, KeptErrors, Lives, RouteState, fresh_copy, is_same
from .health import Health
from .interning import Interner
from .listeners import ErrorListener, Listeners, RouteListener, Watchable
from .patterns import AFTER_THE_PATTERN, dropped, gone, landing
from .preload import preload
from .refresher import Refresher, shared_refresher
from .rounds import Rounds
from .snapshot import SavedRoute, SavedRoutes, Snapshot
from .unfinished import Unfinished

__all__ = ["ErrorListener", "RouteCache", "RouteListener", "RouteState"]


class RouteCache(Watchable):
    """Channels and their routes, kept fresh in the background. Thread-safe; in the child of a fork it goes on by itself.

    Args:
        catalog: asked, for `intent` (``produce``, ``consume`` or ""); closed with the cache.
        ttl, max_stale: seconds, where the answer does not say.
        max_ttl: seconds up to which an answer may lengthen `ttl`.
        timeout: seconds that one question may take, and that :meth:`get` waits at most.
        long_poll: seconds to wait in the catalog for changes, or None; see :mod:`.long_polls`.
        clock, wall, rng, refresher: the process's own, but for tests.
        snapshot: keeps the routes for the next start.
        check: raises where a route must not be used; such a route never replaces another.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        intent: str = "",
        ttl: float = 300.0,
        max_stale: float = 86_400.0,
        max_ttl: float = 3600.0,
        timeout: float = 5.0,
        long_poll: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        rng: Callable[[], float] = random.random,
        snapshot: Snapshot | None = None,
        check: Callable[[Route], None] | None = None,
        refresher: Refresher | None = None,
    ) -> None:
        self._catalog = catalog
        self._asker = Asker(catalog, intent, timeout, check)
        self._lives = Lives(ttl, max_stale, max_ttl)
        self._timeout = timeout
        self._clock = clock
        self._wall = wall
        self._rng = rng
        self._rounds = Rounds(self, refresher or shared_refresher(), clock, self._asker, long_poll)
        self._entries: dict[str, Entry] = {}
        self._errors = KeptErrors()
        self._interner = Interner()
        self._listeners = Listeners()
        self._closed = False
        self._reset()
        scope = f"{catalog.scope()} {intent}" if snapshot is not None else ""
        self._saved = SavedRoutes(snapshot, scope, self._rows, wall)
        self.unfinished = Unfinished(self._saved, self.peek, self._asker.accepts, wall, intent)
        self.watch(self.unfinished.moved)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[str, Flight] = {}
        self._asleep = False
        about = self._catalog.describe()
        self._health = Health(str(about.get("uri") or about.get("path", "")))
        self._rounds.heed(self._health)

    # --- asking -------------------------------------------------------------------------------

    def get(self, channel: str) -> Route:
        """The channel's route: at once when there is a usable one, else after one question, which
        all threads share.

        Raises:
            ChannelInvalid: not a channel address.
            CatalogUnavailable, CatalogUnauthorized, CatalogAnswerInvalid, ChannelNotFound,
            RouteRejected: as the catalog and the policy have it; within `timeout`.
            ClosedError: after close().
        """
        give_up = time.monotonic() + self._timeout
        while True:
            with self._lock:
                if (route := self._known(channel)) is not None:
                    break
                flight = self._flights.get(channel)
                if leads := flight is None:
                    parsed = Channel.parse(channel)
                    flight = self._flights[channel] = Flight()
            if leads:
                self._fly(parsed, flight)
            elif not flight.done.wait(max(0.0, give_up - time.monotonic())):
                raise CatalogUnavailable(
                    f"no route for {channel} within {self._timeout} s: the question of another "
                    "thread is still under way"
                )
            if leads or not flight.outdated:
                return flight.result()
        self._listeners.deliver()
        return route

    def peek(self, channel: str) -> Route | None:
        """The channel's route if a usable one is cached. Asks nobody."""
        with self._lock:
            self._wake()
            entry = self._entries.get(channel)
            return entry.route if entry is not None and self._usable(entry) else None

    def preload(self, channels: Iterable[str]) -> dict[str, Route | Exception]:
        """:meth:`get` for many channels, some at once; failures as values. When the catalog cannot
        be had, the rest fail without being asked for, so that this ends soon, too."""
        return preload(self.get, channels)

    def _known(self, channel: str) -> Route | None:
        """What get() may answer at once; raises what it may raise at once. Lock held."""
        self._wake()
        if self._closed:
            raise ClosedError("the route cache is closed")
        now = self._clock()
        entry = self._entries.get(channel)
        if entry is not None and self._usable(entry):
            return entry.ask_for()
        if (error := self._errors.get(channel, now)) is not None:
            raise fresh_copy(error)
        if entry is not None and entry.expired and entry.error is not None:
            # Who had a route until now does not wait for the catalog: it is asked in the background.
            self._health.ask_now()
            self._errors.keep(channel, entry.error, now, 1.0)
            if channel not in self._flights:
                self._schedule(channel, entry, now)
            raise fresh_copy(entry.error)
        if entry is None and self._health.is_quiet(now):
            # The catalog failed a moment ago: where the snapshot knows better, do not wait for it.
            down = CatalogUnavailable("the catalog could not be had a moment ago")
            if (entry := self._from_snapshot(channel, now)) is not None:
                self._mark_failed(channel, entry, down, now)
                return entry.route
        return None

    # --- background ---------------------------------------------------------------------------

    def refresh(self, channel: str) -> None:
        """Ask again now, in the background; the cached route stays in use meanwhile."""
        with self._lock:
            self._wake()
            self._errors.drop(channel)
            self._health.ask_now()
            if (flight := self._flights.get(channel)) is not None:
                flight.ask_again()
            elif (entry := self._entries.get(channel)) is not None:
                self._schedule(channel, entry, self._clock())

    def invalidate(self, channel: str) -> None:
        """The cached route must not be used again before the catalog confirms it: the next get()
        asks. If the route turns out to be another, listeners hear of it."""
        with self._lock:
            self._errors.drop(channel)
            if (entry := self._entries.get(channel)) is not None:
                entry.invalidate()
            if (flight := self._flights.get(channel)) is not None:
                flight.ask_again(outdated=True)

    def forget(self, channel: str) -> None:
        """Nobody needs the channel any more: drop it, and stop refreshing it."""
        with self._lock:
            self._drop(channel)
        self._listeners.deliver()

    def _drop(self, channel: str) -> None:
        self._errors.drop(channel)
        if (entry := self._entries.pop(channel, None)) is not None:
            self._listeners.later(*self._health.cleared(channel, entry.error))
        if (flight := self._flights.get(channel)) is not None:
            flight.drop()

    def is_due(self, channel: str, due: float) -> bool:
        """Whether `due` is when the channel is to be refreshed. Called by :class:`Rounds`."""
        with self._lock:
            entry = self._entries.get(channel)
            return not self._closed and entry is not None and entry.due == due

    def refresh_now(self, channel: str) -> None:
        """Refresh a channel on this thread. Called by :class:`Rounds`."""
        with self._lock:
            if self._closed or channel not in self._entries or channel in self._flights:
                return
            flight = self._flights[channel] = Flight()
        self._fly(Channel.parse(channel), flight)

    def _schedule(self, channel: str, entry: Entry, due: float) -> None:
        entry.plan(due)
        self._rounds.plan(channel, due)

    # --- one question -------------------------------------------------------------------------

    def _fly(self, channel: Channel, flight: Flight) -> None:
        """Ask, and land the answer in the cache and in `flight`."""
        started = self._clock()
        with self._lock:
            entry = self._entries.get(channel.uri)
            known = entry.route if entry is not None else None
        # What stays if the question is interrupted (KeyboardInterrupt, SystemExit).
        answer: Route | Exception = CatalogUnavailable(f"interrupted asking for {channel}")
        try:
            answer = self._asker.ask(channel, known)
        finally:
            with self._lock:
                del self._flights[channel.uri]
                try:
                    if isinstance(answer, Exception):
                        flight.land(self._land_error(channel.uri, answer) or answer)
                    else:
                        flight.land(self._land(channel.uri, answer, started, flight))
                finally:
                    flight.done.set()
            self._listeners.deliver()

    def _land(self, channel: str, route: Route, started: float, flight: Flight) -> Route:
        """A good answer. Lock held."""
        self._errors.drop(channel)
        waiting = self._health.available()
        if flight.unwanted or self._closed:
            return route
        entry = self._entries.get(channel)
        changed = entry is None or entry.route != route
        lost = gone(entry.route, route) if entry is not None else set()
        if entry is None:
            entry = self._entries[channel] = Entry(
                self._interner.shared(route), started, named=not flight.part
            )
        else:
            self._renew(channel, entry, route, changed=changed)
        if changed:
            self._listeners.later(*self._health.overridden(entry.route))
            self._interner.sweep(one.route for one in self._entries.values())
        entry.confirm(float("-inf") if flight.outdated else started)
        now = self._clock()
        chance = self._rng() + (AFTER_THE_PATTERN if flight.part else 0)
        due = started + self._lives.refresh_after(entry.route, chance)
        # An answer that took longer than its TTL must not be asked for without a pause.
        due = now if flight.again else max(due, now + 0.1 * self._lives.ttl(entry.route))
        self._schedule(channel, entry, due)
        for other in waiting - {channel}:
            if (one := self._entries.get(other)) is not None:
                self._schedule(other, one, min(one.due, now + self._lives.back_again(self._rng())))
        self._saved.touch(changed=changed)
        if entry.route.members is not None:
            for member in landing(entry.route, self._entries, started):
                self._land(member.channel, member, started, Flight(part=True))
            for name in dropped(lost, self._entries):
                self._drop(name)
        return entry.route

    def _renew(self, channel: str, entry: Entry, route: Route, *, changed: bool) -> None:
        """The entry holds `route` from now on, and its listeners hear what became better. Lock
        held."""
        before = entry.route
        if not is_same(before, route):
            entry.replace(self._interner.shared(route))
        if changed:
            self._listeners.route_changed(channel, before, entry.route)
        if entry.error is not None:
            self._listeners.later(*self._health.cleared(channel, entry.error))
            self._listeners.error_changed(channel, entry.route, None)

    def _land_error(self, channel: str, error: Exception) -> Route | None:
        """No good answer; a route where one may be used all the same. Lock held."""
        now = self._clock()
        entry = self._entries.get(channel)
        lives = self._lives
        if isinstance(error, CatalogUnavailable):
            failures = self._health.failures + 1
            wait = lives.backoff(failures, lives.default_ttl, self._rng(), error)
            self._health.unavailable(now, wait)
        if entry is None and isinstance(error, CatalogUnavailable | CatalogAnswerInvalid):
            entry = self._from_snapshot(channel, now)
        usable = entry is not None and self._usable(entry)
        if not usable:
            self._errors.keep(channel, error, now, lives.error(error))
        if entry is None or self._closed:
            return None
        self._mark_failed(channel, entry, error, now)
        return entry.route if usable else None

    def _mark_failed(self, channel: str, entry: Entry, error: Exception, now: float) -> None:
        """The entry could not be refreshed; when to try again. Lock held."""
        self._listeners.later(*self._health.failed(channel, entry.error, error))
        if entry.fail(error, now, self._lives, self._rng()):
            self._listeners.error_changed(channel, entry.route, error)
        self._schedule(channel, entry, entry.due)

    def _from_snapshot(self, channel: str, now: float) -> Entry | None:
        if (taken := self._saved.take(channel)) is None:
            return None
        saved, age = taken
        entry = Entry(self._interner.shared(saved.route), now - age, from_snapshot=True)
        if not (self._usable(entry) and self._asker.accepts(saved.route)):
            return None
        self._entries[channel] = entry
        return entry

    # --- looking ------------------------------------------------------------------------------

    def _usable(self, entry: Entry) -> bool:
        return self._clock() - entry.confirmed <= self._lives.limit(entry.route)

    def state(self, channel: str) -> RouteState:
        """How things stand with the channel, for people."""
        with self._lock:
            now = self._clock()
            if (entry := self._entries.get(channel)) is not None:
                return entry.state(channel, now, self._lives)
            error = self._errors.get(channel, now)
            return RouteState(channel, "absent", error=str(error) if error else None)

    def _rows(self) -> list[SavedRoute]:
        """For the snapshot."""
        with self._lock:
            offset = self._wall() - self._clock()
            rows = [e.saved(offset, self._lives) for e in self._entries.values() if self._usable(e)]
        return [self.unfinished.account(row) for row in rows]

    # --- life ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop refreshing, write the snapshot, close the catalog. Safe to call twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._rounds.stop()
        self._saved.flush()
        self._catalog.close()

    def after_fork_in_child(self) -> None:
        """The parent's locks and questions are none of the child's. Called by :class:`Rounds`."""
        self._rounds.reset()
        self._reset()
        self._listeners.forget_pending()
        self.unfinished.after_fork_in_child()
        self._asleep = True

    def _wake(self) -> None:
        """First use in a child: only now is it worth refreshing there. Lock held."""
        if self._asleep:
            self._asleep = False
            now = self._clock()
            for channel, entry in self._entries.items():
                self._schedule(channel, entry, max(now, entry.due))
