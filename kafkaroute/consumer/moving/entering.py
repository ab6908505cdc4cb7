"""Going to a new place: asking it, subscribing there, or replacing settings where nothing moves."""

from __future__ import annotations

import time
from collections.abc import Mapping
from copy import copy
from functools import partial
from typing import Any

from ...backend.contract import BackendConsumer, Capability
from ...backend.registry import get_backend
from ...backend.settings_keys import is_callback_key
from ...events import Phase
from ...places import Place, login_change
from ...router import Router
from ..clients import Member, Members
from ..pauses import Why
from .hold_notes import EarlyNotes
from .opening import Opening
from .positions import cluster_of, commit_stored, partitions_of, standings
from .stages import Ground, Stage, State, Telling, Way

__all__ = ["Entering"]


class Entering:
    """The beginning of a move; see :class:`.machine.ConsumerMoves` for its end."""

    def __init__(
        self,
        router: Router[Member],
        members: Members,
        ground: Ground,
        ways: Mapping[str, Way],
        telling: Telling,
        early_notes: EarlyNotes,
    ) -> None:
        self._router = router
        self._members = members
        self._ground = ground
        self._ways = ways
        self._tell = telling.tell
        self._early_notes = early_notes

    # --- asking -----------------------------------------------------------------------------

    def look(self, way: Way, stage: Stage) -> None:
        """Ask a new place off this thread; see what came of it."""
        opening = stage.opening
        if opening is None:
            client = partial(_open_client, stage.place)
            topic, cluster_id = stage.topic, stage.route.cluster_id
            again = any(one.is_at(stage.place, topic) for one in way.before(stage))
            early = self._early_notes.of(way, stage)
            answered = None if early is None else early.write
            stage.opening = Opening(
                way.channel, client, topic, cluster_id, ends=again, answered=answered
            )
        elif opening.result is not None:
            stage.cluster_id = opening.result.cluster_id
            for one in way.before(stage):
                if one.is_at(stage.place, stage.topic) and one.cut is None:
                    one.cut = opening.result.ends
            stage.state, stage.opening, stage.told = State.OPENED, None, None
            stage.opened = time.monotonic()
            self._tell(way, Phase.OPENED, way.head, stage)
        elif opening.error is not None and opening.error != stage.told:
            stage.told = opening.error
            self._tell(way, Phase.UNREACHABLE, way.head, stage, detail=opening.error)

    def _is_same_cluster(self, head: Stage, coming: Stage) -> bool:
        known = cluster_of(head)
        if known is None:
            # It does not tell, as when it refuses the old password: what is reached by the same
            # addresses is the same cluster.
            servers = "bootstrap.servers"
            return bool(head.place.config.get(servers) == coming.place.config.get(servers))
        return known == coming.cluster_id

    def _is_same_log(self, head: Stage, coming: Stage) -> bool:
        return coming.topic == head.topic and self._is_same_cluster(head, coming)

    def enter(self, way: Way) -> bool:
        """The next place answers: subscribe there, as what changed demands; whether it is held."""
        head, coming = way.stages[0], way.stages[1]
        if not self._is_same_cluster(head, coming) or coming.place == head.place:
            if (back := self._watched_otherwise(way, coming)) is not None:
                self._exchange(back, coming, self._back(back, coming))
            self._hold(way, coming)
        elif self._may_replace_credentials(head, coming):
            self._replace_credentials(head, coming)
        else:
            self._reopen(head, coming)
        return coming.state is State.HELD

    def _watched_otherwise(self, way: Way, coming: Stage) -> Stage | None:
        """A place that was left, is still watched, and is reached by other settings now: two
        native consumers of one group would share its partitions."""
        return next(
            (
                left
                for left in way.left
                if left.place != coming.place
                and left.topic == coming.topic
                and cluster_of(left) == coming.cluster_id
            ),
            None,
        )

    # --- another topic or cluster -----------------------------------------------------------

    def _hold(self, way: Way, stage: Stage) -> None:
        member = stage.member = self._router.client(stage.place)
        member.cluster_id = stage.cluster_id
        stage.state = State.HELD
        for left in way.left:
            if left.is_at(stage.place, stage.topic):
                # Left a moment ago, and come back to: it goes on where it stands.
                way.left.remove(left)
                stage.unplaced |= left.unplaced
                stage.positions |= left.positions
                stage.arriving, stage.by_move = left.arriving, left.by_move
                break
        self.pause(stage, way.channel)
        self._ground.join(member)

    def pause(self, stage: Stage, channel: str) -> None:
        """Deliver nothing of `stage` for now."""
        member = stage.member
        assert member is not None
        member.hold(channel, stage.topic)
        if stage.topic in member.hidden and (partitions := partitions_of(stage)):
            member.kept.keep(partitions, Why.HELD)

    # --- the same cluster, other settings ---------------------------------------------------

    def _along(self, head: Stage, coming: Stage) -> list[Way]:
        """The channels that go the same way, from the same place to the same place."""
        return [
            way
            for way in self._ways.values()
            if len(way.stages) > 1
            and way.head.place == head.place
            and way.stages[1].place == coming.place
        ]

    def _may_replace_credentials(self, head: Stage, coming: Stage) -> bool:
        """Whether user name and password are all that changed, for all channels of the client."""
        member = head.member
        return (
            login_change(head.place, coming.place) is not None
            and self._router.supports(coming.place, Capability.SET_SASL_CREDENTIALS)
            and member is not None
            and set(member.topics) == {way.channel for way in self._along(head, coming)}
            and self._router.peek(coming.place) is None
        )

    def _replace_credentials(self, head: Stage, coming: Stage) -> None:
        member = head.member
        assert member is not None
        old, new = member.place, coming.place
        ways, before = self._along(head, coming), copy(head)
        login = login_change(old, new)
        assert login is not None
        member.client.set_sasl_credentials(*login)
        member.move_to(new)
        self._router.forget(old)
        self._router.adopt(new, member)
        self._members.replaced(old, new)
        for way in ways:
            for stage in way.live():
                if stage.place == old:
                    stage.place = new
            self._settle(way, way.stages[1], coming)
            self._tell(way, Phase.CREDENTIALS, before, way.head)

    def _settle(self, way: Way, after: Stage, coming: Stage) -> None:
        """The head has the next stage's settings now; is its topic another, too?"""
        if after.opening is not None:
            after.opening.stop()
            after.opening = None
        after.cluster_id = coming.cluster_id
        if after.topic == way.head.topic:
            way.head.route = after.route
            del way.stages[1]
            if all(self._is_same_log(way.head, one) for one in way.stages[1:]):
                way.head.stay(after.route)
        elif after.state is State.OPENING:
            after.state, after.opened = State.OPENED, time.monotonic()

    def _back(self, left: Stage, coming: Stage) -> list[Way]:
        """The channels that return to a place that was left, from wherever they are."""
        return [
            way
            for way in self._ways.values()
            if len(way.stages) > 1
            and way.stages[1].place == coming.place
            and any(one.member is left.member for one in way.left)
        ]

    def _reopen(self, head: Stage, coming: Stage) -> None:
        ways, before = self._along(head, coming), copy(head)
        self._exchange(head, coming, ways)
        for one in ways:
            self._settle(one, one.stages[1], coming)
            self._tell(one, Phase.REOPENED, before, one.head)

    def _exchange(self, before: Stage, coming: Stage, ways: list[Way]) -> None:
        """One native consumer gives way to another: closed, with a commit, before the new one
        joins the group; positions and pauses are carried over."""
        old = before.member
        assert old is not None
        states = [(one, stage) for one in ways for stage in one.live() if stage.member is old]
        topics = {stage.topic for _, stage in states}
        positions = standings(old, topics)
        paused = {one for one in old.paused if one[0] in topics}
        commit_stored(old)
        channels = {one.channel for one in ways}
        old.read({c: topic for c, topic in old.topics.items() if c not in channels})
        for _, stage in states:
            if stage.state is not State.READ:
                old.forget(stage.topic)
        try:
            if old.wanted():
                self._ground.join(old)
            else:
                self._ground.part(old)
        finally:
            # Also when a callback of the application raised.
            if old not in self._members.all:
                self._members.replaced(old.place, coming.place)
            self._move_in(states, coming, positions, paused)

    def _move_in(
        self,
        states: list[tuple[Way, Stage]],
        coming: Stage,
        positions: Mapping[tuple[str, int], int],
        paused: set[tuple[str, int]],
    ) -> None:
        new = self._router.client(coming.place)
        new.cluster_id = coming.cluster_id
        new.paused |= paused
        for way, stage in states:
            stage.place, stage.member, stage.cluster_id = coming.place, new, coming.cluster_id
            stage.by_move = stage.arriving = True
            stage.positions = {
                number: at for (topic, number), at in positions.items() if topic == stage.topic
            }
            if stage.state is State.READ:
                new.release(way.channel, stage.topic)
            elif stage.state is State.HELD:
                new.hold(way.channel, stage.topic)
            else:
                new.watch(way.channel, stage.topic)
        self._ground.join(new)


def _open_client(place: Place) -> BackendConsumer:
    # The application must not hear of a client that it does not know.
    config: dict[str, Any] = {
        key: value
        for key, value in place.config.items()
        if key == "oauth_cb" or not is_callback_key(key)
    }
    return get_backend(place.backend).open_consumer(config, {})
