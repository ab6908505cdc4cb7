"""A Consumer's channels that move: between the polling thread, the group and the application."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias
from weakref import WeakMethod

from ..backend.contract import AssignmentCallback
from ..errors import KafkaException
from ..events import Phase, RouteChange, RouteStatus, Spot
from ..messages import TopicPartition, bare
from ..places import Place, spot_of
from ..route import Route
from ..router import Router
from .clients import Member
from .moving.awaiting import held_by_others
from .moving.machine import ConsumerMoves
from .moving.positions import auto_commits, commit_stored
from .moving.starts import unfinished_routes
from .patterns import Patterns
from .pauses import Why
from .polling import FairPoll, WatchedPoll
from .rebalances import Rebalance
from .revoked import Refusals
from .state import ConsumerState

__all__ = ["MovingCalls", "RebalanceCallback", "commit_stored", "unfinished_routes"]

_log = logging.getLogger("kafkaroute.consumer")


#: Called as (consumer, partitions).
RebalanceCallback: TypeAlias = "Callable[[Any, list[TopicPartition]], Any]"

#: Seconds between two steps of the moves under way.
_STEP = 0.05


class MovingCalls(ConsumerState):
    """Implements :class:`kafkaroute.consumer.moving.stages.Ground` for the moves."""

    def __init__(self, router: Router[Member]) -> None:
        super().__init__(router)
        #: The routes that subscribe() began with.
        self._routes: dict[str, Route] = {}
        #: on_assign, on_revoke, on_lost of the last subscribe().
        self._callbacks: tuple[RebalanceCallback | None, ...] = (None, None, None)
        self._moves = ConsumerMoves(router, self._members, self)
        self._patterns = Patterns(router, self._members)
        self._moves.beginnings.expect(self._patterns.appeared)
        settings = router.settings
        self._refusals = Refusals(router.cache, self._members, settings.on_revoked)
        self._closers: list[threading.Thread] = []
        self._step_at = 0.0

    # --- moving -----------------------------------------------------------------------------

    def _notice(self, channel: str, old: Route, new: Route) -> None:
        """A route changed (on the refresher's thread)."""
        self._news.append((channel, old, new))
        self._moving = True

    def _failing(self, channel: str, _route: Route, error: Exception | None) -> None:
        """The catalog refuses a channel that worked, or gives it again (on any thread)."""
        if self._refusals.heard(channel, error):
            self._moving = True

    def _advance(self) -> None:
        """Take the moves one step further, if it is time. Called without the turn."""
        now = time.monotonic()
        if now < self._step_at and not self._news:
            return
        moves = self._moves
        try:
            with self._turns:
                if self._closed or self._rebalancing is not None:
                    return
                self._step_at = now + _STEP
                self._take_news()
                if self._patterns.due(now):
                    self._look_at_patterns()
                moves.events.extend(self._refusals.step())
                moves.step(now)
                self._moving = moves.active or self._refusals.active
                if self._news or self._refusals.active or self._patterns.active:
                    self._moving = True  # told between the two lines above, perhaps
                if self._moving != isinstance(self._fair, WatchedPoll):
                    self._fair = WatchedPoll(moves.gate.admit) if self._moving else FairPoll()
                if not moves.active:
                    self._members.delivered.clear()
        finally:
            self._tell_events()
        if (error := self._refusals.due(now)) is not None:
            raise error

    def _take_news(self) -> None:
        while self._news:
            channel, old, new = self._news.popleft()
            self._patterns.heard(channel)
            if self._members.of_channel(channel) is None:
                continue
            if not self._manual:
                self._moves.follow(channel, old, new)
            elif self._router.place(old) != self._router.place(new) or old.topic != new.topic:
                self._moves.events.append(
                    RouteChange(
                        channel,
                        "consume",
                        Phase.ASSIGN_AGAIN,
                        self._spot(old),
                        self._spot(new),
                        detail="the partitions were assigned by the application",
                    )
                )

    def _tell_events(self) -> None:
        events = self._moves.events
        while events:
            try:
                change = events.popleft()
            except IndexError:  # another thread was faster
                return
            self._moves.announcer.tell(change)

    def _spot(self, route: Route) -> Spot:
        return spot_of(self._router.place(route), route.topic, route=route)

    def routes(self) -> dict[str, RouteStatus]:
        """How each subscribed channel stands: where it is read, and how far its move is."""
        with self._turn():
            found: dict[str, RouteStatus] = {}
            for member in self._members.all:
                for channel, topic in member.topics.items():
                    status = self._moves.status(channel)
                    if status is None:
                        spot = spot_of(member.place, topic, cluster_id=member.cluster_id)
                        status = RouteStatus(channel, spot)
                    error = self._router.cache.state(channel).error
                    found[channel] = status if error is None else replace(status, error=error)
            return found

    def counters(self) -> Mapping[str, int]:
        """How often each phase of a move was told of (late arrivals: how many messages)."""
        return self._moves.announcer.counters()

    def is_moving(self) -> bool:
        """Whether a channel has yet to leave an old place, whose messages are not all read."""
        return any(len(way.stages) > 1 for way in tuple(self._moves.ways.values())) or bool(
            self._news
        )

    def stop_moving(self) -> None:
        """Give up the moves under way: what is assigned stays, nothing is released or watched."""
        self._moves.drop(self._moves.ways.keys())

    # --- for the moves ----------------------------------------------------------------------

    def join(self, member: Member) -> None:
        """Subscribe the native consumer to what the member wants now; it is polled from now on."""
        self._members.add(member)
        if (wanted := member.wanted()) != member.subscribed:
            self._subscribe_natively(member, wanted)

    def part(self, member: Member, *, behind: bool = False) -> None:
        """Close a native consumer that nobody needs any more; `behind`: not on this thread, as it
        takes seconds with a cluster that is away (seen: 3 with confluent-kafka, 5 with
        kafka-python)."""
        self._router.forget(member.place)
        others = tuple(one for one in self._members.all if one is not member)
        if not behind:
            try:
                member.client.close()  # with callbacks of the application
            finally:
                self._members.keep(others)
            return
        self._members.keep(others)
        # A daemon: close() waits for it, but the end of the process not for a dead cluster.
        closer = threading.Thread(
            target=_close, args=(member,), name="kafkaroute-close", daemon=True
        )
        self._closers = [one for one in self._closers if one.is_alive()] + [closer]
        closer.start()

    def wake(self) -> None:
        """There is something to do at the next step."""
        self._moving = True

    def commits(self, place: Place) -> bool:
        """Whether the group commits what it has read at `place`: by itself, or the application has
        done so."""
        return auto_commits(place) or self._has_committed

    def tell_revoked(self, member: Member, partitions: Sequence[TopicPartition]) -> None:
        """Call on_revoke, though the group took nothing away."""
        shown = member.shown(partitions)
        if shown:
            self._call(self._callbacks[1], Rebalance(member, told=True), shown)

    def tell_assigned(self, member: Member, partitions: Sequence[TopicPartition]) -> None:
        """Call on_assign, though the group has given them before."""
        shown = member.shown(partitions)
        if shown:
            context = Rebalance(member, told=True)
            self._call(self._callbacks[0], context, shown)
            self._moves.gate.chosen(member, context.chosen)

    # --- the group's word -------------------------------------------------------------------

    def _subscribe_natively(self, member: Member, topics: Sequence[str]) -> None:
        member.client.subscribe(
            list(topics),
            self._bound(self._assigned, member),
            self._bound(self._revoked, member),
            self._bound(self._lost, member),
        )
        member.subscribes_to(topics)

    @staticmethod
    def _bound(
        call: Callable[[Member, list[TopicPartition]], None], member: Member
    ) -> AssignmentCallback:
        """`call` held weakly: the native consumer must not keep the Consumer alive."""
        weak = WeakMethod(call)

        def bound(partitions: list[TopicPartition]) -> None:
            if (method := weak()) is not None:
                method(member, partitions)

        return bound

    def _assigned(self, member: Member, partitions: list[TopicPartition]) -> None:
        member.settle(settled=True)
        kept = self._moves.gate.came(member, partitions)
        kept += [(one, Why.AWAITED) for one in self._held_by_others(member, partitions)]
        kept += [(one, Why.REFUSED) for one in self._refusals.came(partitions, member.topics)]
        hidden = [one for one in partitions if one.topic in member.hidden]
        context = Rebalance(member, hidden, unplaced=[o for o, why in kept if why is Why.UNPLACED])
        try:
            if shown := member.shown(partitions):
                self._call(self._callbacks[0], context, shown)
        finally:
            if kept or context.hidden or member.kept.was_silent(partitions):
                if not context.handled:
                    everything = context.started(bare(one, one.topic) for one in partitions)
                    if _is_cooperative(member):
                        member.client.incremental_assign(everything)
                    else:
                        member.client.assign(everything)
                for why in Why:
                    member.kept.keep([one for one, reason in kept if reason is why], why)
                self._moves.gate.chosen(member, context.chosen)
                member.kept.came(partitions)

    def _held_by_others(
        self, member: Member, partitions: Sequence[TopicPartition]
    ) -> list[TopicPartition]:
        """What other members hold, as their notes say; asked once for each topic, when this member
        joins, and again while it waits."""
        moves = self._moves
        held: list[TopicPartition] = []
        for channel, topic in member.topics.items():
            came = [TopicPartition(topic, p.partition) for p in partitions if p.topic == topic]
            way = moves.ways.get(channel)
            waits = channel in moves.awaiting.channels
            if not came or (way is not None and not way.begins and not waits):
                continue
            if topic in member.joined and not waits:
                continue
            numbers = {one.partition for one in came}
            try:
                numbers = held_by_others(member.client, topic, numbers, moves.noting.own)
                member.joined.add(topic)
            except KafkaException as error:  # they are asked for again, and wait until then
                _log.info("channel %s: the notes of its group are not known: %s", channel, error)
            if waiting := [one for one in came if one.partition in numbers]:
                moves.awaiting.add(member, channel, waiting)
                held += waiting
                self._moving = True
        return held

    def _revoked(self, member: Member, partitions: list[TopicPartition]) -> None:
        self._taken(member, partitions, self._callbacks[1])

    def _lost(self, member: Member, partitions: list[TopicPartition]) -> None:
        self._taken(member, partitions, self._callbacks[2] or self._callbacks[1])

    def _taken(
        self,
        member: Member,
        partitions: list[TopicPartition],
        callback: RebalanceCallback | None,
    ) -> None:
        if member not in self._members.all:
            return  # closed behind, after its move
        member.settle(settled=_is_cooperative(member))  # else the group gives all shares anew
        self._moves.gate.went(member, partitions)
        context = Rebalance(member, [one for one in partitions if one.topic in member.hidden])
        if shown := member.shown(partitions):
            self._call(callback, context, shown)

    def _call(
        self,
        callback: RebalanceCallback | None,
        context: Rebalance,
        partitions: list[TopicPartition],
    ) -> None:
        if callback is None:
            return
        outer, self._rebalancing = self._rebalancing, context
        try:
            callback(self, partitions)
        finally:
            self._rebalancing = outer


def _close(member: Member) -> None:
    try:
        member.client.close()
    except KafkaException as error:
        _log.info("closing the consumer of an old place: %s", error)


def _is_cooperative(member: Member) -> bool:
    return "cooperative" in str(member.place.config.get("partition.assignment.strategy", ""))
