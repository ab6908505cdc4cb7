"""Moves the channels of one native client, on a thread that lives while there is a move."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from ...backend.contract import Capability
from ...errors import KafkaException, KafkarouteError
from ...forking import abandon
from ...messages import KafkaError
from ...route import Route
from ...router import Place
from ..events import Phase, RouteChange, Spot
from .drain import drain, rescue
from .link import Home, Link, spot_of
from .opening import refusal_of
from .tracker import Pair
from .undelivered import Undelivered, in_order

if TYPE_CHECKING:
    from .dispatch import Dispatch

__all__ = ["Mover"]

_log = logging.getLogger("kafkaroute.moves")

#: A thread may sit between looking a sender up and calling it, so a client that no channel uses
#: any more is closed only after this many seconds.
_GRACE = 5.0
#: Seconds between two attempts to reach a new place: doubled from the first to the last.
_FIRST_RETRY, _LAST_RETRY = 1.0, 30.0
#: Messages sent at the end of a hold while nobody can append.
_LAST_CHUNK = 1000
_CHUNK = 5000
#: The other channels of a client are asked for, so that what moves together is one sequence: at
#: most so many, waited for at most so many seconds.
_MOST_REFRESHED = 256
_REFRESH_PATIENCE = 1.0
_SLICE = 0.02


class _Change(NamedTuple):
    """Where a channel goes."""

    old: Route
    new: Route
    place: Place


class _NeedsReportsError(Exception):
    """A held message has a callback, and the client reports failures only."""


class Mover:
    """See docs/moves.md, "Producer". One for each native client with something to move."""

    def __init__(self, dispatch: Dispatch, link: Link) -> None:
        self._dispatch = dispatch
        self._link = link
        self._old_place = link.place
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._dirty: set[str] = set()
        self._seen = time.monotonic()
        self._told: dict[str, Route] = {}
        self._candidates: dict[Place, Link] = {}
        self._unreachable: dict[str, tuple[Route, str]] = {}
        self._retry_at = float("inf")
        self._retry_after = _FIRST_RETRY
        #: Last phase of each channel on its way.
        self.phases: dict[str, Phase] = {}
        #: The target of each channel on its way.
        self.plan: dict[str, _Change] = {}
        #: Messages are neither all in the old client nor all in the new one.
        self.active = False
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

    def refusal(self, channel: str, route: Route) -> str | None:
        """Why the new place cannot be reached; None while it is not known to be unreachable."""
        known = self._unreachable.get(channel)
        return known[1] if known is not None and known[0] == route else None

    def ends(self, change: _Change) -> tuple[Spot, Spot]:
        """The two ends of a channel's way."""
        return spot_of(self._old_place, change.old), spot_of(change.place, change.new)

    def stop(self) -> None:
        """The Producer closes: end soon, failing what is held."""
        self._stop.set()
        self._wake.set()

    def join(self) -> None:
        self._thread.join()

    def abandon(self) -> None:
        """In the child of a fork, where the thread does not exist."""
        for link in self._candidates.values():
            abandon(link)
        abandon(self._link)

    # The thread.

    def _run(self) -> None:
        while True:
            try:
                self._step()
            except Exception:
                _log.exception("a move failed; it is tried again")
                self._retry_at = time.monotonic() + _FIRST_RETRY
            if self._ends():
                break
            self._wake.wait(max(0.0, min(self._retry_at - time.monotonic(), _LAST_RETRY)))
        for candidate in self._candidates.values():
            candidate.client.close(0)

    def _ends(self) -> bool:
        dispatch = self._dispatch
        with dispatch.lock:
            idle = not (self._wake.is_set() or self._dirty or self._link.strays)
            if not self._stop.is_set() and (not idle or self._link.hold is not None):
                return False
            if dispatch.movers.get(self._link) is self:
                del dispatch.movers[self._link]
            return True

    def _step(self) -> None:
        self._wake.clear()
        self._send_strays()
        plan = self._look()
        link = self._link
        if plan:
            link.tracker.collect()
            self._refresh_others()
            plan = self._look()
        if plan and self._replace_credentials(plan):
            plan = {}
        targets = self._open(plan)
        self.plan = plan
        plan = {c: change for c, change in plan.items() if change.place in targets}
        if plan and (not link.tracked or self._dispatch.between is not None):
            self._switch(plan, targets)
        elif plan or link.hold is not None:
            self._sequence(plan, targets)
        if link.hold is None:
            self._settle()

    # Looking.

    def _look(self) -> dict[str, _Change]:
        """The channels that are to live elsewhere."""
        dispatch, link = self._dispatch, self._link
        plan: dict[str, _Change] = {}
        seen: list[tuple[str, _Change]] = []
        for channel in list(self._dirty):
            route = dispatch.router.cache.peek(channel)
            with dispatch.lock:
                home = dispatch.homes.get(channel)
                if home is None or home.link is not link:
                    self._dirty.discard(channel)
                    continue
                if route is None or not dispatch.leads_elsewhere(home, route):
                    if route is not None:
                        dispatch.homes[channel] = Home(link, route)
                    self._dirty.discard(channel)
                    self._forget(channel)
                    continue
            change = plan[channel] = _Change(home.route, route, dispatch.router.place(route))
            if self._told.get(channel) != route:
                self._told[channel] = route
                self._unreachable.pop(channel, None)
                self._retry_at, self._retry_after = float("-inf"), _FIRST_RETRY
                seen.append((channel, change))
        for channel, change in seen:
            self._tell(Phase.SEEN, channel, change)
        return plan

    def _forget(self, channel: str) -> None:
        self._told.pop(channel, None)
        self._unreachable.pop(channel, None)
        self.phases.pop(channel, None)
        self.plan.pop(channel, None)

    def _refresh_others(self) -> None:
        """Have the routes of the client's other channels confirmed after the change was seen."""
        dispatch, cache = self._dispatch, self._dispatch.router.cache
        with dispatch.lock:
            others = set(dispatch.channels_of(self._link)) - self._dirty
        if not 0 < len(others) <= _MOST_REFRESHED:
            return
        began = time.monotonic()
        for channel in others:
            cache.refresh(channel)
        while others and (waited := time.monotonic() - began) < _REFRESH_PATIENCE:
            for channel in list(others):
                state = cache.state(channel)
                if state.error is not None or state.age is None or state.age <= waited:
                    others.discard(channel)
            if others and self._stop.wait(0.005):
                return

    # Credentials.

    def _replace_credentials(self, plan: dict[str, _Change]) -> bool:
        """Give the live client its new user name and password, if nothing else is new."""
        dispatch, link = self._dispatch, self._link
        places = {change.place for change in plan.values()}
        if len(places) > 1 or not dispatch.router.supports(
            link.place, Capability.SET_SASL_CREDENTIALS
        ):
            return False
        [place] = places
        new, old = dict(place.config), dict(link.place.config)
        login = [new.pop(key, None) for key in ("sasl.username", "sasl.password")]
        for key in ("sasl.username", "sasl.password"):
            old.pop(key, None)
        if new != old or place.backend != link.place.backend or None in login:
            return False
        with dispatch.lock:
            alike = set(dispatch.channels_of(link)) == set(plan)
            free = dispatch.router.peek(place) is None
        if not (alike and free) or any(c.old.topic != c.new.topic for c in plan.values()):
            return False
        try:
            link.client.set_sasl_credentials(str(login[0]), str(login[1]))
        except KafkarouteError as error:
            _log.warning("the client refuses new credentials, and is replaced: %s", error)
            return False
        with dispatch.lock:
            if dispatch.router.peek(link.place) is link:
                dispatch.router.forget(link.place)
            dispatch.router.adopt(place, link)
            link.place = self._old_place = place
            for channel, change in plan.items():
                dispatch.homes[channel] = Home(link, change.new)
        for channel, change in plan.items():
            self._tell(Phase.CREDENTIALS, channel, change)
            self._dirty.discard(channel)
            self._forget(channel)
        return True

    # Opening.

    def _open(self, plan: dict[str, _Change]) -> dict[Place, Link]:
        """Clients that answer for the topics of `plan`, by place; unreachable ones are left out."""
        targets: dict[Place, Link] = {}
        if not plan:
            return targets
        due = time.monotonic() >= self._retry_at
        failed = False
        for channel, change in plan.items():
            refusal = self.refusal(channel, change.new)
            if refusal is not None and not due:
                continue
            if self._link.hold is not None or self._stop.is_set():
                break  # messages wait: they are looked after first
            refusal = self._try(change, targets)
            if refusal is None:
                self._unreachable.pop(channel, None)
                self._tell(Phase.OPENED, channel, change)
                continue
            failed = True
            if self.refusal(channel, change.new) is None:
                self._tell(Phase.UNREACHABLE, channel, change, detail=refusal)
            self._unreachable[channel] = (change.new, refusal)
        for place in {change.place for c, change in plan.items() if c in self._unreachable}:
            targets.pop(place, None)
        if failed:
            self._retry_at = time.monotonic() + self._retry_after
            self._retry_after = min(2 * self._retry_after, _LAST_RETRY)
        elif not self._unreachable:
            self._retry_at = float("inf")
        for place in self._candidates.keys() - {change.place for change in plan.values()}:
            self._candidates.pop(place).client.close(0)
        return targets

    def _try(self, change: _Change, targets: dict[Place, Link]) -> str | None:
        place, router = change.place, self._dispatch.router
        target = self._link if place == self._link.place else router.peek(place)
        if target is None:
            target = self._candidates.get(place)
        if target is None:
            try:
                target = self._candidates[place] = router.open(place)
            except KafkarouteError as error:
                return f"refused: {error}"
        refusal = refusal_of(target, change.new)
        if refusal is None:
            targets[place] = target
        return refusal

    def _adopt(self, targets: dict[Place, Link]) -> None:
        """Share the new clients. Lock held."""
        router = self._dispatch.router
        for place, target in list(targets.items()):
            if (known := router.peek(place)) is not None:
                targets[place] = known  # somebody else opened it meanwhile
            else:
                router.adopt(place, target)
                self._candidates.pop(place, None)

    # The sequence.

    def _switch(self, plan: dict[str, _Change], targets: dict[Place, Link]) -> None:
        """Without redelivery: what the old client has accepted stays with it. Between transactions
        only, where there are any."""
        dispatch, link = self._dispatch, self._link
        retired = False
        done = threading.Event()

        def swap() -> None:
            nonlocal retired
            with dispatch.lock:
                self._adopt(targets)
                for channel, change in plan.items():
                    dispatch.homes[channel] = Home(targets[change.place], change.new)
                dispatch.forget_senders(plan)
                retired = dispatch.retire_unused(link)
            if retired and dispatch.between is not None and not len(link.client):
                link.client.close(
                    0
                )  # before another one of the same transactional.id is initialised
            done.set()

        if dispatch.between is None:
            swap()
        else:
            dispatch.between(swap)
        while not done.wait(_SLICE):
            if self._stop.is_set():
                return
        for channel, change in plan.items():
            self._tell(Phase.RELEASED, channel, change)
        self._leave(plan, retired=retired)

    def _sequence(self, plan: dict[str, _Change], targets: dict[Place, Link]) -> None:
        dispatch, link, tracker = self._dispatch, self._link, self._link.tracker
        with dispatch.lock:
            self.active = True
            tracker.divert(1)
            tracker.collect()
            self._adopt(targets)
            if link.hold is None:
                dispatch.hold(link)
        try:
            for channel, change in plan.items():
                self._tell(Phase.HELD, channel, change)
            rescued: Counter[str] = Counter()
            while True:
                rescued += self._empty(plan)
                try:
                    if not self._release(plan, targets):
                        return
                    break
                except _NeedsReportsError:
                    dispatch.reports = True
            with dispatch.lock:
                retired = dispatch.retire_unused(link)
            for channel, count in rescued.items():
                self._tell(Phase.RESCUED, channel, plan.get(channel), count=count)
            for channel, change in plan.items():
                self._tell(Phase.RELEASED, channel, change)
            self.active = False
            self._leave(plan, retired=retired)
        finally:
            self.active = False
            tracker.divert(-1)

    def _empty(self, plan: dict[str, _Change]) -> Counter[str]:
        """Drain the old client, or take from it what it does not get rid of; put that in front of
        what is held. Returns how many messages of each channel that were."""
        link = self._link
        topics = [change.old.topic for change in plan.values()]
        drained = drain(
            link,
            topics[0] if topics else None,
            seen=self._seen,
            timeout=self._dispatch.settings.drain_timeout,
            stopped=self._stop.is_set,
        )
        if drained:
            for channel, change in plan.items():
                self._tell(Phase.DRAINED, channel, change)
        elif not self._stop.is_set():
            rescue(link)
        failed = in_order(link.tracker.collected(go_on=True))
        assert link.hold is not None
        link.hold.put_first(failed)
        return Counter(message.channel for message in failed)

    def _release(self, plan: dict[str, _Change], targets: dict[Place, Link]) -> bool:
        """Send what is held and let produce() send by itself; False when the Producer closes."""
        if self._stop.is_set():
            return False
        dispatch, link = self._dispatch, self._link
        hold = link.hold
        assert hold is not None
        with dispatch.lock:
            stay = link
            if link.tracker.quiet and dispatch.reports:
                stay = dispatch.router.open(link.place)
                if dispatch.router.peek(link.place) is link:
                    dispatch.router.adopt(link.place, stay)
            for channel in dispatch.channels_of(link):
                change = plan.get(channel)
                dispatch.homes[channel] = (
                    Home(stay, dispatch.homes[channel].route)
                    if change is None
                    else Home(
                        stay if targets[change.place] is link else targets[change.place],
                        change.new,
                    )
                )
        outlets: dict[str, tuple[Link, Pair]] = {}

        def send(message: Undelivered) -> None:
            self._send(message, outlets)

        def swap() -> None:
            link.hold = None
            dispatch.forget_senders(hold.channels)

        while not self._stop.is_set():
            before = len(hold)
            try:
                if before > _LAST_CHUNK:
                    hold.release_some(send, min(before, _CHUNK))
                if len(hold) <= _LAST_CHUNK or len(hold) >= before:
                    with dispatch.lock:
                        if hold.finish(send, _LAST_CHUNK, swap):
                            return True
            except BufferError:
                self._make_room(outlets)
        return False

    def _send(self, message: Undelivered, outlets: dict[str, tuple[Link, Pair]]) -> None:
        """Produce a held or rescued message to where its channel lives now."""
        home = self._dispatch.homes[message.channel]
        known = outlets.get(message.channel)
        topic = home.route.topic
        if home.link is not self._link and home.link.hold is not None:
            pair = home.link.hold.pair(message.channel)
        elif known is not None and known[0] is home.link:
            pair = known[1]
        else:
            pair = home.link.direct(message.channel, topic)
            outlets[message.channel] = (home.link, pair)
        if message.callback is not None and home.link is self._link and home.link.tracker.quiet:
            raise _NeedsReportsError
        try:
            pair[1](
                message.value,
                message.key,
                message.partition,
                message.callback,
                message.created,
                message.headers,
            )
        except BufferError:
            raise
        except KafkaException as error:
            self._dispatch.refuse(message, topic, error.args[0])
        except Exception as error:
            reason = f"not accepted by the new place: {type(error).__name__}"
            self._dispatch.refuse(message, topic, KafkaError(KafkaError._INVALID_ARG, reason))

    def _make_room(self, outlets: dict[str, tuple[Link, Pair]]) -> None:
        """A client is full: serve it, as the application may not poll."""
        for link in {id(link): link for link, _ in outlets.values()}.values():
            link.tracker.divert(1)
            try:
                link.client.poll(_SLICE)
            finally:
                link.tracker.divert(-1)
        self._stop.wait(0.001)

    # Afterwards.

    def _leave(self, plan: dict[str, _Change], *, retired: bool) -> None:
        """The end of a move; a client that nobody uses any more is closed."""
        for channel in plan:
            self._dirty.discard(channel)
        if retired and not self._close_old():
            return  # close() does it
        for channel, change in plan.items():
            self._tell(Phase.DONE, channel, change)
            self._forget(channel)

    def _close_old(self) -> bool:
        dispatch, link = self._dispatch, self._link
        leave_at = time.monotonic() + _GRACE
        while time.monotonic() < leave_at or len(link.client):
            if self._stop.wait(_SLICE):
                return False
            if not link.tracked:
                continue  # its reports are the application's to serve
            link.client.poll(_SLICE)
            self._forward(link.tracker.collected(go_on=True))
            if time.monotonic() >= leave_at and len(link.client) and not rescue(link):
                leave_at = time.monotonic() + _GRACE
        self._forward(link.tracker.collected(go_on=False))
        with dispatch.lock:
            if link in dispatch.retired:
                dispatch.retired.remove(link)
        link.client.close(0)
        return True

    def _forward(self, failed: Iterable[Undelivered]) -> None:
        """Messages of threads that still had the old sender in hand."""
        dispatch = self._dispatch
        for message in failed:
            with dispatch.lock:
                dispatch.activity += 1
                link = dispatch.homes[message.channel].link
                link.strays.append(message)
                if link is not self._link:
                    dispatch.move(link)

    def _settle(self) -> None:
        """Nothing to move, or not now: what failed meanwhile is tried once more where it was, and
        the application hears of it when it fails again."""
        self._forward(in_order(self._link.tracker.collected(go_on=False)))
        self._send_strays()

    def _send_strays(self) -> None:
        dispatch, link = self._dispatch, self._link
        while link.strays and not self._stop.is_set():
            message = link.strays[0]
            with dispatch.lock:
                home = dispatch.homes[message.channel]
                if home.link is not link:
                    home.link.strays.append(link.strays.popleft())
                    dispatch.move(home.link)
                    continue
            outlets: dict[str, tuple[Link, Pair]] = {}
            try:
                if link.hold is not None:
                    link.hold.put_first([message])
                else:
                    self._send(message, outlets)
            except BufferError:
                self._make_room(outlets)
            except _NeedsReportsError:
                dispatch.wants_reports(link.tracker, message.channel, *message[1:7])
                link.strays.popleft()
                return
            else:
                link.strays.popleft()

    # Events.

    def _tell(
        self,
        phase: Phase,
        channel: str,
        change: _Change | None,
        *,
        count: int | None = None,
        detail: str = "",
    ) -> None:
        if change is None:
            place, route = self._old_place, self._dispatch.homes[channel].route
            old = new = spot_of(place, route)
        else:
            self.phases[channel] = phase
            old, new = self.ends(change)
        self._dispatch.announcer.tell(
            RouteChange(channel, "produce", phase, old, new, count, detail=detail)
        )
