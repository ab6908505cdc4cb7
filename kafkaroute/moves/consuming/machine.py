"""The moves of one Consumer's channels, step by step, on the thread that polls."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from ...backend.contract import BackendConsumer
from ...backend.registry import get_backend
from ...backend.settings_keys import is_callback_key
from ...errors import KafkaException
from ...members import Member, Members
from ...messages import KafkaError, Message, TopicPartition
from ...route import Route
from ...router import Place, Router
from ..events import Announcer, Phase, RouteChange, Spot
from ..scout import Scout
from .ground import Ground
from .leaving import Leaving, Outcome
from .opening import Opening
from .placing import Placing
from .policy import WindowPolicy
from .stages import Stage, State, Way

__all__ = ["ConsumerMoves"]

_log = logging.getLogger("kafkaroute.moves")

#: Seconds between two commits of an old place that is being left.
_COMMIT_EVERY = 0.5
#: Seconds without a late message after which a burst of them is told of.
_BURST = 1.0
#: librdkafka's default for session.timeout.ms.
_SESSION = 45.0


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
        self._members = members
        self._ground = ground
        self.ways: dict[str, Way] = {}
        self._scouts: dict[Place, Scout] = {}
        self._commit_at = 0.0
        self._troubles: dict[str, str] = {}
        self._placing = Placing(self._settings)
        self.events: deque[RouteChange] = deque()
        self.announcer = Announcer(self._settings.on_route_change)

    # --- what begins and ends moves ---------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether anything moves."""
        return bool(self.ways)

    def follow(self, channel: str, old: Route, new: Route) -> None:
        """The catalog answers another route for a channel that is read."""
        way = self.ways.get(channel)
        member = self._members.of_channel(channel)
        if member is None:
            return
        if way is None:
            first = Stage(
                old, member.place, time.monotonic(), time.time(), State.READ, by_move=False
            )
            first.member, first.cluster_id = member, member.cluster_id
            first.topic = member.topics[channel]
            way = Way(channel, first)
        place = self._router.place(new)
        last = way.stages[-1]
        if last.is_at(place, new.topic):
            last.route = new
            return
        self.ways[channel] = way
        if (
            back := next((one for one in way.left if one.is_at(place, new.topic)), None)
        ) is not None:
            self._turn_back(way, back, new)
            return
        stage = Stage(new, place, time.monotonic(), time.time(), State.OPENING, by_move=True)
        way.stages.append(stage)
        self._tell(way, Phase.SEEN, last, stage)
        self._ask_for_others(member, channel)

    def _turn_back(self, way: Way, back: Stage, new: Route) -> None:
        """The channel returns to a place that is still watched: hold it where it stands."""
        last = way.stages[-1]
        if back.late:
            self._tell_late(way, back)
        way.left.remove(back)
        back.route, back.state, back.opened = new, State.HELD, time.monotonic()
        assert back.member is not None
        self._pause(back, way.channel)
        way.stages.append(back)
        self._tell(way, Phase.SEEN, last, back)
        self._tell(way, Phase.HELD, last, back)

    def _pause(self, stage: Stage, channel: str) -> None:
        member = stage.member
        assert member is not None
        member.hold(channel, stage.topic)
        if stage.topic in member.hidden and (partitions := self._partitions(stage)):
            member.client.pause(partitions)

    def _ask_for_others(self, member: Member, channel: str) -> None:
        """The channels of one place mostly move together: have the catalog asked for them now."""
        for other in member.topics:
            if other != channel and other not in self.ways:
                self._router.cache.refresh(other)

    def drop(self, channels: Iterable[str]) -> None:
        """These channels are not read any more, or not by a subscription."""
        for channel in list(channels):
            way = self.ways.pop(channel, None)
            if way is None:
                continue
            for stage in (*way.stages, *way.left):
                if stage.opening is not None:
                    stage.opening.stop()
                if stage.member is not None and stage is not way.head:
                    stage.member.forget(stage.topic)
            if way.leaving is not None:
                way.leaving.stop()
        self._close_scouts()

    def close(self) -> None:
        """Free what runs in the background; the members are the Consumer's to close."""
        self.drop(self.ways)

    def after_fork_in_child(self) -> None:
        """Threads and native consumers stayed in the parent."""
        self.ways, self._scouts = {}, {}
        self.events.clear()

    # --- one step ---------------------------------------------------------------------------

    def step(self, now: float) -> None:
        """Do what is due. Raises only what the application's callbacks raise."""
        self._watch_committing(now)
        for way in list(self.ways.values()):
            try:
                self._step(way, now)
            except KafkaException as error:
                # A broker that does not answer just now; tried again at the next step.
                if self._troubles.get(way.channel) != str(error):
                    self._troubles[way.channel] = str(error)
                    _log.warning("channel %s: its move waits: %s", way.channel, error)
            if not way.moves:
                del self.ways[way.channel]
                self._troubles.pop(way.channel, None)
        self._close_scouts()

    def _step(self, way: Way, now: float) -> None:
        for stage in way.stages[1:]:
            if stage.state is State.OPENING:
                self._look_at_opening(way, stage)
        for stage in way.live():
            self._placing.place(stage, self._window(stage))
        if len(way.stages) > 1:
            self._go_on(way, now)
        self._linger(way, now)

    def _go_on(self, way: Way, now: float) -> None:
        head, coming = way.stages[0], way.stages[1]
        if coming.state is State.OPENING:
            return
        if coming.state is State.OPENED:
            self._enter(way, head, coming)
        if coming.state is not State.HELD:
            return
        leaving = way.leaving
        if leaving is None:
            leaving = way.leaving = self._begin_leaving(way, head, coming, now)
        if any(one.is_at(head.place, head.topic) for one in way.stages[1:]):
            leaving.cut_here(now)
        if now >= leaving.since:
            leaving.step(now, self._positions(head))
            self._commit_settled(head, leaving)
        if way.policy is not None and way.policy.may_read() and not coming.unplaced:
            self._tell_outcome(way, head, coming, leaving)
            self._release(way)
            if len(way.stages) > 1:
                # At once: this place may be the one that the channel comes back to.
                self._go_on(way, now)

    # --- opening ----------------------------------------------------------------------------

    def _look_at_opening(self, way: Way, stage: Stage) -> None:
        opening = stage.opening
        if opening is None:
            stage.opening = Opening(
                way.channel,
                partial(self._open_client, stage.place),
                stage.topic,
                stage.route.cluster_id,
            )
        elif opening.result is not None:
            stage.cluster_id = opening.result.cluster_id
            stage.state, stage.opening, stage.told = State.OPENED, None, None
            stage.opened = time.monotonic()
            self._tell(way, Phase.OPENED, way.head, stage)
        elif opening.error is not None and opening.error != stage.told:
            stage.told = opening.error
            self._tell(way, Phase.UNREACHABLE, way.head, stage, detail=opening.error)

    @staticmethod
    def _open_client(place: Place) -> BackendConsumer:
        # The application must not hear of a client that it does not know.
        config: dict[str, Any] = {
            key: value
            for key, value in place.config.items()
            if key == "oauth_cb" or not is_callback_key(key)
        }
        return get_backend(place.backend).open_consumer(config, {})

    def _cluster_of(self, stage: Stage) -> str | None:
        """The cluster id of a stage that is in use; asks its native consumer, once."""
        if stage.cluster_id is None and stage.member is not None:
            member = stage.member
            if member.cluster_id is None:
                try:
                    member.cluster_id = member.client.list_topics(stage.topic, 1.0).cluster_id
                except KafkaException:
                    return stage.route.cluster_id
            stage.cluster_id = member.cluster_id
        return stage.cluster_id

    # --- hold -------------------------------------------------------------------------------

    def _enter(self, way: Way, head: Stage, coming: Stage) -> None:
        """The new place answers: subscribe there, as what changed demands."""
        same_cluster = coming.cluster_id is not None and coming.cluster_id == self._cluster_of(head)
        if same_cluster and coming.place != head.place:
            self._reopen(way, head, coming)
            return
        self._hold(way, coming)
        window = self._window(head)
        self._tell(
            way,
            Phase.HELD,
            head,
            coming,
            detail=f"read when the old place is empty, but not before {window:g} s are over",
        )

    def _hold(self, way: Way, stage: Stage) -> None:
        member = stage.member = self._router.client(stage.place)
        member.cluster_id = stage.cluster_id
        stage.state = State.HELD
        for left in way.left:
            if left.is_at(stage.place, stage.topic):
                # Left a moment ago, and come back to: it goes on where it stands.
                way.left.remove(left)
                stage.unplaced |= left.unplaced
                break
        self._pause(stage, way.channel)
        self._ground.join(member)

    def _reopen(self, way: Way, head: Stage, coming: Stage) -> None:
        """The same cluster with other settings: one native consumer gives way to another."""
        old = head.member
        assert old is not None
        channels = [other for other in self._reopens_along(head, coming) if other != way.channel]
        ways = [way, *(self.ways[channel] for channel in channels)]
        topics = {one.head.topic for one in ways} | {
            left.topic for one in ways for left in one.left if left.member is old
        }
        positions = self._standings(old, topics)
        paused = {one for one in old.paused if one[0] in topics}
        for one in ways:
            old.leave(one.channel)
        for topic in topics:
            old.forget(topic)
        if old.wanted():
            self._commit_stored(old)
            self._ground.join(old)
        else:
            self._ground.part(old)
            self._members.successors[old.place] = coming.place
        new = self._router.client(coming.place)
        new.cluster_id = coming.cluster_id
        new.paused |= paused
        for one in ways:
            self._move_in(one, new, coming, positions)
        self._ground.join(new)
        for one in ways:
            self._tell(one, Phase.REOPENED, head, one.head)

    def _reopens_along(self, head: Stage, coming: Stage) -> list[str]:
        """Channels that go the same way: from the same place to the same place."""
        return [
            way.channel
            for way in self.ways.values()
            if len(way.stages) > 1
            and way.head.place == head.place
            and way.stages[1].place == coming.place
        ]

    def _move_in(
        self, way: Way, new: Member, coming: Stage, positions: dict[tuple[str, int], int]
    ) -> None:
        """Let `way` go on with `new` where it was, and have its change of topic follow."""
        stage, old = way.stages[1], way.head
        if stage.opening is not None:
            stage.opening.stop()
        stage.opening, stage.cluster_id = None, coming.cluster_id
        went_on = Stage(stage.route, coming.place, old.opened, old.wall, State.READ, by_move=True)
        went_on.topic, went_on.member, went_on.cluster_id = old.topic, new, coming.cluster_id
        went_on.by_move = True
        self._carry(went_on, positions)
        new.release(way.channel, old.topic)
        for left in way.left:
            if left.place == old.place:
                left.place, left.member = coming.place, new
                new.watch(way.channel, left.topic)
                self._carry(left, positions)
        if stage.topic == old.topic:
            way.stages[:2] = [went_on]
        else:
            stage.state, stage.opened = State.OPENED, time.monotonic()
            way.stages[0] = went_on

    @staticmethod
    def _carry(stage: Stage, positions: dict[tuple[str, int], int]) -> None:
        stage.positions = {n: at for (topic, n), at in positions.items() if topic == stage.topic}

    # --- leave ------------------------------------------------------------------------------

    def _window(self, old: Stage) -> float:
        settings = self._settings
        if settings.move_window is not None:
            return settings.move_window
        if old.route.max_age is not None:
            return old.route.max_age
        return max(settings.ttl, 300.0)

    def _begin_leaving(self, way: Way, head: Stage, coming: Stage, now: float) -> Leaving:
        window = 0.0 if self._settings.on_move == "overlap" else self._window(head)
        since = max(now, coming.opened + window)
        config = head.place.config
        session = config.get("session.timeout.ms")
        leaving = Leaving(
            self._scout(head.place),
            head.topic,
            since,
            self._settings.drain_timeout,
            float(session) / 1000 if isinstance(session, int | float | str) else _SESSION,
            commits=self._commits_itself(head) or self._ground.commits(),
        )
        way.policy = WindowPolicy(leaving, time.monotonic)
        return leaving

    def _scout(self, place: Place) -> Scout:
        if (scout := self._scouts.get(place)) is None:
            scout = self._scouts[place] = Scout(get_backend(place.backend), place.config)
        return scout

    def _close_scouts(self) -> None:
        wanted = {way.head.place for way in self.ways.values() if way.leaving is not None}
        for place in self._scouts.keys() - wanted:
            self._scouts.pop(place).close()

    @staticmethod
    def _commits_itself(stage: Stage) -> bool:
        setting = stage.place.config.get("enable.auto.commit", True)
        return str(setting).lower() in {"true", "1"}

    def _watch_committing(self, now: float) -> None:
        """Commit old places often, so that the group learns soon how far they were read."""
        if now < self._commit_at:
            return
        self._commit_at = now + _COMMIT_EVERY
        members = {
            way.head.member
            for way in self.ways.values()
            if way.leaving is not None and self._commits_itself(way.head)
        }
        for member in members - {None}:
            assert member is not None
            self._commit_stored(member, asynchronous=True)

    def _commit_stored(self, member: Member, *, asynchronous: bool = False) -> None:
        if str(member.place.config.get("enable.auto.commit", True)).lower() not in {"true", "1"}:
            return
        try:
            member.client.commit(None, asynchronous)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._NO_OFFSET:
                _log.debug("committing an old place: %s", error)

    def _commit_settled(self, head: Stage, leaving: Leaving) -> None:
        settled, leaving.settled = leaving.settled, {}
        if settled and head.member is not None and self._commits_itself(head):
            head.member.client.commit(
                [TopicPartition(head.topic, n, offset) for n, offset in settled.items()], True
            )

    def _partitions(self, stage: Stage) -> list[TopicPartition]:
        assert stage.member is not None
        return [one for one in stage.member.client.assignment() if one.topic == stage.topic]

    def _positions(self, stage: Stage) -> dict[int, int]:
        own = self._partitions(stage)
        assert stage.member is not None
        return {one.partition: one.offset for one in stage.member.client.position(own)}

    def _standings(self, member: Member, topics: set[str]) -> dict[tuple[str, int], int]:
        own = [one for one in member.client.assignment() if one.topic in topics]
        return {
            (one.topic, one.partition): one.offset
            for one in member.client.position(own)
            if one.offset >= 0
        }

    def _tell_outcome(self, way: Way, head: Stage, coming: Stage, leaving: Leaving) -> None:
        partitions = self._named(way, head, leaving.partitions)
        if leaving.outcome is Outcome.UNCOMMITTED:
            self._tell(way, Phase.UNCOMMITTED, head, coming, partitions=partitions)
        elif leaving.outcome is Outcome.UNREAD:
            self._tell(way, Phase.UNREAD, head, coming, partitions=partitions)
        else:
            self._tell(way, Phase.DRAINED, head, coming)

    def _named(
        self, way: Way, stage: Stage, partitions: Sequence[TopicPartition]
    ) -> tuple[TopicPartition, ...]:
        for one in partitions:
            one.channel, one.place = way.channel, stage.place
        return tuple(partitions)

    def _release(self, way: Way) -> None:
        """Leave the head, read what comes after it."""
        old, new = way.stages[0], way.stages[1]
        assert old.member is not None
        assert new.member is not None
        failure: BaseException | None = None
        gone = self._partitions(old)
        try:
            self._ground.tell_revoked(old.member, gone)
        except BaseException as error:  # raised when the move is complete in itself
            failure = error
        old.member.leave(way.channel)
        old.member.paused = {one for one in old.member.paused if one[0] != old.topic}
        if gone:
            old.member.client.resume(gone)
        new.member.release(way.channel, new.topic)
        old.state, new.state = State.LEFT, State.READ
        old.heard = time.monotonic()
        del way.stages[0]
        way.left.append(old)
        if way.leaving is not None:
            way.leaving.stop()
        way.leaving = way.policy = None
        self._tell(way, Phase.LEFT, old, new)
        try:
            came = self._partitions(new)
            self._ground.tell_assigned(new.member, came)
            ready = [
                one
                for one in came
                if one.partition not in new.unplaced
                and (one.topic, one.partition) not in new.member.paused
            ]
            if ready:
                new.member.client.resume(ready)
        finally:
            self._tell(way, Phase.LINGERING, old, new)
        if failure is not None:
            raise failure

    # --- linger -----------------------------------------------------------------------------

    def _linger_seconds(self) -> float:
        settings = self._settings
        if settings.move_linger is not None:
            return settings.move_linger
        return max(600.0, 10 * settings.ttl, min(settings.max_stale, 3600.0))

    def _linger(self, way: Way, now: float) -> None:
        for stage in list(way.left):
            if stage.late and now - stage.heard >= _BURST:
                self._tell_late(way, stage)
            if now - stage.heard >= self._linger_seconds():
                self._finish(way, stage)

    def _tell_late(self, way: Way, stage: Stage) -> None:
        self._tell(way, Phase.LATE, stage, way.head, count=stage.late)
        stage.late = 0

    def _finish(self, way: Way, stage: Stage) -> None:
        if stage.late:
            self._tell_late(way, stage)
        way.left.remove(stage)
        member = stage.member
        assert member is not None
        if not any(
            one.member is member and one.topic == stage.topic
            for other in self.ways.values()
            for one in other.live()
        ):
            self._commit_stored(member)
            member.forget(stage.topic)
            if member.wanted():
                self._ground.join(member)
            else:
                self._ground.part(member)
        self._tell(way, Phase.DONE, stage, way.head)

    # --- what the Consumer asks -------------------------------------------------------------

    def came(self, member: Member, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """The group gave partitions to `member`: those that must be paused for now."""
        stopped = []
        for way in self.ways.values():
            for stage in way.live():
                if stage.member is not member:
                    continue
                for one in partitions:
                    if one.topic != stage.topic:
                        continue
                    if stage.by_move:
                        stage.unplaced.add(one.partition)
                        stopped.append(one)
                    elif stage.state is State.HELD:
                        stopped.append(one)
        return stopped

    def went(self, member: Member, partitions: Sequence[TopicPartition]) -> None:
        """The group took partitions away from `member`."""
        for way in self.ways.values():
            for stage in way.live():
                if stage.member is member:
                    stage.unplaced -= {p.partition for p in partitions if p.topic == stage.topic}

    def placed(self, member: Member, partitions: Sequence[TopicPartition]) -> None:
        """The application itself said where to start on these."""
        self.went(member, partitions)

    def admit(self, message: Message) -> Message | None:
        """A message that is about to be delivered; None where it must not be."""
        origin = message.origin()
        if origin is None or message.error() is not None:
            return message
        way = self.ways.get(origin.channel)
        topic, number = message.topic(), message.partition()
        if way is None or topic is None or number is None:
            return message
        for stage in way.live():
            if not stage.is_at(origin.place, topic):  # type: ignore[arg-type]  # a Place
                continue
            leaving = way.leaving if stage is way.head else None
            if (
                stage.state is State.HELD
                or number in stage.unplaced
                or (leaving is not None and leaving.is_beyond(number, message.offset() or 0))
            ):
                self._put_back(stage, message)
                return None
            if stage.state is State.LEFT:
                stage.late += 1
                stage.heard = time.monotonic()
            self._members.delivered[origin.channel, number] = (origin.place, topic)
            break
        return message

    @staticmethod
    def _put_back(stage: Stage, message: Message) -> None:
        """It slipped through the pause: read it again later."""
        topic, number, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None and number is not None and offset is not None  # noqa: PT018
        assert stage.member is not None
        one = TopicPartition(topic, number, offset)
        stage.member.client.pause([one])
        stage.member.client.seek(one)

    # --- telling ----------------------------------------------------------------------------

    def _tell(
        self,
        way: Way,
        phase: Phase,
        old: Stage | None,
        new: Stage | None,
        *,
        count: int | None = None,
        partitions: tuple[TopicPartition, ...] = (),
        detail: str = "",
    ) -> None:
        way.phase = phase
        self.events.append(
            RouteChange(
                way.channel,
                "consume",
                phase,
                None if old is None else old.spot(),
                None if new is None else new.spot(),
                count,
                partitions,
                detail,
            )
        )

    def spots(self, stages: Iterable[Stage]) -> tuple[Spot, ...]:
        return tuple(stage.spot() for stage in stages)
