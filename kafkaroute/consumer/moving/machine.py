"""The moves of one Consumer's channels, step by step, on the thread that polls."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence

from ...errors import KafkaException
from ...events import Announcer, Phase, RouteStatus
from ...messages import TopicPartition
from ...route import Route
from ...router import Router
from ..clients import Member, Members
from ..pauses import Why
from .awaiting import Awaiting
from .entering import Entering
from .gate import Gate
from .hold_notes import EarlyNotes, Noting
from .late import Confirming
from .leaving import Leaving, Outcome
from .notes import exchange
from .policies import move_policy
from .positions import auto_commits, commit_stored, partitions_of, standing_of
from .stages import Ground, Stage, State, Telling, Way
from .starts import Beginnings, missed_routes, put_to_start
from .windows import Scouting

__all__ = ["ConsumerMoves"]

_log = logging.getLogger("kafkaroute.moves")

#: Seconds for one question to a broker.
_PATIENCE = 1.0
#: Seconds between two commits of an old place that is being left.
_COMMIT_EVERY = 0.5
#: Seconds without a late message after which a burst of them is told of.
_BURST = 1.0


class ConsumerMoves:
    """See the package's text. Everything here runs in the Consumer's turn; events pile up in
    `events`, to be told outside it.

    Args:
        router: routes, places, settings and native consumers of the Consumer.
        members: the Consumer's.
        ground: what else is needed of it.
    """

    def __init__(self, router: Router[Member], members: Members, ground: Ground) -> None:
        self._router = router
        self._settings = router.settings
        self._policy = move_policy(self._settings.on_move)
        self._members = members
        self._ground = ground
        self.ways: dict[str, Way] = {}
        self._commit_at = 0.0
        self._troubles: dict[str, str] = {}
        self._telling = Telling()
        self._tell = self._telling.tell
        self.events = self._telling.events
        self.announcer = Announcer(self._settings.on_route_change)
        self._scouting = Scouting(self._settings)
        self._scouting.end_with(ground, self.ways)
        self.noting = Noting()
        self.awaiting = Awaiting(members, self.noting.own)
        early = EarlyNotes(self._settings, ground, self.noting, self._scouting)
        self._entering = Entering(router, members, ground, self.ways, self._telling, early)
        self._confirming = Confirming(router, self.follow)
        self.beginnings = Beginnings(router, self.ways, ground.wake)
        still_left, begin = self._confirming.still_left, self.beginnings.came
        self.gate = Gate(self.ways, members, still_left, begin)

    # --- what begins and ends moves ---------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether anything moves."""
        return bool(self.ways or self.awaiting.channels)

    def begin(self, channel: str, routes: Sequence[Route]) -> None:
        """A subscription begins with places that the group has not finished: the first of `routes`
        is read already, the others follow."""
        member = self._members.of_channel(channel)
        assert member is not None
        first = Stage(routes[0], member.place, State.READ, by_move=True)
        first.member = member
        way = self.ways[channel] = Way(channel, first)
        for route in routes[1:]:
            self._append(way, route)

    def follow(self, channel: str, old: Route, new: Route) -> None:
        """The catalog answers another route for a channel that is read."""
        way = self.ways.get(channel)
        member = self._members.of_channel(channel)
        if member is None:
            return
        if way is None:
            fresh = channel in self.beginnings.channels
            first = Stage(old, member.place, State.READ, by_move=fresh)
            first.fresh, first.since = fresh, None if fresh else self._scouting.since(first)
            first.member, first.cluster_id = member, member.cluster_id
            first.topic = member.topics[channel]
            way = Way(channel, first)
        before = len(way.stages)
        for route in [*missed_routes(self._settings, way.stages[-1].route, new), new]:
            self._go_to(way, route)
        if len(way.stages) == before:
            return
        self.ways[channel] = way
        # The channels of one place mostly move together: have the catalog asked for them now.
        for other in member.topics:
            if other != channel and other not in self.ways:
                self._router.cache.refresh(other)

    def _go_to(self, way: Way, new: Route) -> None:
        place, last = self._router.place(new), way.stages[-1]
        if last.is_at(place, new.topic):
            if last.route.cluster_id != new.cluster_id:
                last.give_up()  # it is asked for what the new answer promises
            last.route = new
            return
        left = next((one for one in way.left if one.is_at(place, new.topic)), None)
        if left is not None:
            self._turn_back(way, left, new)
        else:
            self._append(way, new)
            way.stages[-1].since = self._scouting.since(last)

    def _append(self, way: Way, new: Route) -> None:
        last = way.stages[-1]
        way.stages.append(Stage(new, self._router.place(new), State.OPENING, by_move=True))
        self._tell(way, Phase.SEEN, last, way.stages[-1])

    def _turn_back(self, way: Way, back: Stage, new: Route) -> None:
        """The channel returns to a place that is still watched: hold it where it stands."""
        last = way.stages[-1]
        if back.late:
            self._tell_late(way, back)
        way.left.remove(back)
        back.route, back.state, back.opened = new, State.HELD, time.monotonic()
        way.stages.append(back)
        self._tell(way, Phase.SEEN, last, back)
        self._entering.pause(back, way.channel)
        self._tell_held(way, last, back)

    def drop(self, channels: Collection[str]) -> None:
        """These channels are not read any more, or not by a subscription."""
        for channel in list(channels):
            way = self.ways.pop(channel, None)
            if way is None:
                continue
            for stage in (*way.stages, *way.left):
                if stage.opening is not None:
                    stage.opening.stop()
                if stage.member is not None and stage is not way.head and not self._used(stage):
                    stage.member.forget(stage.topic)
        self._keep_scouts()

    def close(self) -> None:
        """Free what runs in the background; the members are the Consumer's to close."""
        self.drop(self.ways)
        self.awaiting.channels.clear()

    def after_fork_in_child(self) -> None:
        """Threads and native consumers stayed in the parent."""
        self.ways.clear()
        self.awaiting.channels.clear()
        self._scouting.after_fork_in_child()
        self.events.clear()

    def stages(self, channel: str) -> list[Stage]:
        """The channel's places that have a native consumer, while it moves."""
        way = self.ways.get(channel)
        return [] if way is None else way.live()

    def status(self, channel: str) -> RouteStatus | None:
        """How the channel's move stands; None where it does not move."""
        way = self.ways.get(channel)
        if way is None:
            return None
        return RouteStatus(
            channel,
            way.head.spot(),
            way.phase,
            tuple(stage.spot() for stage in way.stages[1:]),
            tuple(stage.spot() for stage in way.left),
            error=next((stage.told for stage in way.stages if stage.told), None),
        )

    # --- one step ---------------------------------------------------------------------------

    def step(self, now: float) -> None:
        """Do what is due. Raises only what the application's callbacks raise."""
        self._commit_often(now)
        self._confirming.step(now, self.ways)
        for way in list(self.ways.values()):
            self._try(way.channel, lambda way=way: self._step(way, now))  # type: ignore[misc]
            if not way.moves:
                del self.ways[way.channel]
                self._troubles.pop(way.channel, None)
        for channel in list(self.awaiting.channels):
            self._try(channel, lambda channel=channel: self.awaiting.step(channel, now))  # type: ignore[misc]
        self._keep_scouts()

    def _try(self, channel: str, what: Callable[[], None]) -> None:
        """A broker that does not answer just now is asked again at the next step."""
        try:
            what()
        except KafkaException as error:
            if self._troubles.get(channel) != str(error):
                self._troubles[channel] = str(error)
                _log.warning("channel %s: its move waits: %s", channel, error)

    def _step(self, way: Way, now: float) -> None:
        for stage in way.stages[1:]:
            if stage.state is State.OPENING:
                self._entering.look(way, stage)
        for stage in way.live():
            put_to_start(stage)
        self._skip_unanswered(way, now)
        if len(way.stages) > 1:
            self._go_on(way, now)
        self._linger(way, now)

    def _skip_unanswered(self, way: Way, now: float) -> None:
        """A place that does not answer is not in the way of a newer answer. Where that is the place
        which is still read, as after a wrong answer that was mended, nothing moves at all."""
        while len(way.stages) > 2 and (failing := way.stages[1].unanswered) is not None:
            head, skipped, after = way.stages[:3]
            back = after.is_at(head.place, head.topic)
            if not back and (
                after.state is State.OPENING or now - failing < self._settings.drain_timeout
            ):
                return
            skipped.give_up()
            del way.stages[1]
            self._tell(way, Phase.UNREAD, skipped, after, detail=f"never reached: {skipped.told}")
            if back:
                after.give_up()
                del way.stages[1]
                head.stay(after.route)
                self._tell(way, Phase.DONE, skipped, head)

    def _go_on(self, way: Way, now: float) -> None:
        head, coming = way.stages[0], way.stages[1]
        if coming.state is State.OPENED and self._entering.enter(way):
            self._tell_held(way, head, coming)
        if coming.state is not State.HELD:
            return
        if not self._policy.holds:
            self._release(way, beside=True)
            return
        leaving = way.leaving or self._begin_leaving(way, head, coming, now)
        if leaving.commits:
            self.noting.hold(head, coming, self._scouting.window(head))
        if head.cut is not None:
            head.cut = leaving.cut_at(head.cut, now)
        if now >= leaving.since:
            leaving.step(now, standing_of(head))
            self._commit_settled(head, leaving)
            if leaving.waits_for_others(now) and head.member is not None:
                client, mine = head.member.client, leaving.finished()
                leaving.heard(exchange(client, head.topic, leaving.numbers(), mine, _PATIENCE))
        if self._policy.may_read(leaving, now) and not coming.unplaced:
            self._tell_outcome(way, head, coming, leaving)
            self._release(way)
            if len(way.stages) > 1:
                # At once: this place may be the one that the channel comes back to.
                self._go_on(way, now)

    # --- leave ------------------------------------------------------------------------------

    def _begin_leaving(self, way: Way, head: Stage, coming: Stage, now: float) -> Leaving:
        since = max(now, coming.opened + self._scouting.window(head))
        commits = self._ground.commits(head.place)
        leaving = way.leaving = self._scouting.leave(head, since, commits=commits)
        return leaving

    def _keep_scouts(self) -> None:
        self._scouting.keep(way.head for way in self.ways.values() if way.leaving is not None)

    def _commit_often(self, now: float) -> None:
        """So that the group learns soon how far its old places were read."""
        if now < self._commit_at:
            return
        self._commit_at = now + _COMMIT_EVERY
        leaving = [way.head.member for way in self.ways.values() if way.leaving is not None]
        for member in dict.fromkeys(leaving):
            if member is not None:
                commit_stored(member)

    @staticmethod
    def _commit_settled(head: Stage, leaving: Leaving) -> None:
        settled, leaving.settled = leaving.settled, {}
        if settled and head.member is not None and auto_commits(head.place):
            offsets = [TopicPartition(head.topic, n, offset) for n, offset in settled.items()]
            head.member.client.commit(offsets, True)

    def _tell_held(self, way: Way, head: Stage, coming: Stage) -> None:
        seconds = self._scouting.window(head)
        self._tell(
            way,
            Phase.HELD,
            head,
            coming,
            detail=f"read when the old place is empty, and {seconds:g} s are over",
        )

    def _used(self, stage: Stage) -> bool:
        """Whether another channel that moves is at the same place."""
        live = (one for way in self.ways.values() for one in way.live())
        return any(one.member is stage.member and one.topic == stage.topic for one in live)

    def _tell_outcome(self, way: Way, head: Stage, coming: Stage, leaving: Leaving) -> None:
        head.unread = leaving.outcome is Outcome.UNREAD
        phases = {Outcome.UNCOMMITTED: Phase.UNCOMMITTED, Outcome.UNREAD: Phase.UNREAD}
        phase = phases.get(leaving.outcome, Phase.DRAINED) if leaving.outcome else Phase.DRAINED
        self._tell(way, phase, head, coming, partitions=leaving.partitions)

    def _release(self, way: Way, *, beside: bool = False) -> None:
        """Read what comes after the head; leave the head, or read it beside."""
        old, new = way.stages[0], way.stages[1]
        assert old.member is not None
        assert new.member is not None
        self.noting.release(new)
        # Before a rebalance gives its partitions to others, who would read again from there.
        commit_stored(old.member)
        failure: BaseException | None = None
        if not beside:
            failure = self._take_from_application(old)
        old.member.leave(way.channel, beside=beside)
        new.member.release(way.channel, new.topic)
        old.state, new.state, old.beside = State.LEFT, State.READ, beside
        old.heard = time.monotonic()
        del way.stages[0]
        way.left.append(old)
        way.leaving = None
        self._tell(way, Phase.LEFT, old, new)
        try:
            self._ground.tell_assigned(new.member, partitions_of(new))
            new.member.kept.let_go_all(new.topic, Why.HELD, Why.RETURNED)
        finally:
            self._tell(way, Phase.LINGERING, old, new)
        if failure is not None:
            raise failure

    def _take_from_application(self, old: Stage) -> BaseException | None:
        """Tell it that `old` is gone; what its callback raised. It is watched without it."""
        assert old.member is not None
        old.member.kept.let_go_all(old.topic, Why.RETURNED)
        if list(old.member.topics.values()).count(old.topic) > (0 if old.beside else 1):
            return None  # another channel goes on reading it
        gone = partitions_of(old)
        failure: BaseException | None = None
        try:
            self._ground.tell_revoked(old.member, gone)
        except BaseException as error:  # raised when the move is complete in itself
            failure = error
        own = {one for one in old.member.paused if one[0] == old.topic}
        if ready := [one for one in gone if not old.member.kept.holds(one)]:
            old.member.client.resume(ready)
        old.member.paused -= own
        return failure

    # --- linger -----------------------------------------------------------------------------

    def _linger(self, way: Way, now: float) -> None:
        for stage in list(way.left):
            if stage.late and now - stage.heard >= _BURST:
                self._tell_late(way, stage)
            if not stage.asked and now - stage.heard >= self._scouting.linger(stage):
                self._finish(way, stage)

    def _tell_late(self, way: Way, stage: Stage) -> None:
        self._tell(way, Phase.LATE, stage, way.head, count=stage.late)
        stage.late = 0

    def _finish(self, way: Way, stage: Stage) -> None:
        if stage.late:
            self._tell_late(way, stage)
        way.left.remove(stage)
        self._tell(way, Phase.DONE, stage, way.head)
        if not stage.unread:
            group = str(stage.place.config.get("group.id", ""))
            self._router.cache.unfinished.finish(way.channel, stage.route, group)
        member = stage.member
        assert member is not None
        if self._used(stage):
            return
        failure = self._take_from_application(stage) if stage.beside else None
        commit_stored(member)
        member.forget(stage.topic)
        if member.wanted():
            self._ground.join(member)
        else:
            self._ground.part(member, behind=True)
        if failure is not None:
            raise failure
