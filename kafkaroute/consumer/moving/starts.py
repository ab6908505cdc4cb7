"""Where a group starts on a place to which its channel moved."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

from ...backend.contract import BackendConsumer
from ...backend.registry import get_backend
from ...catalog.previous import previous_routes
from ...errors import RouteRejected
from ...messages import OFFSET_END, TopicPartition
from ...route import Route
from ...router import Router
from ...settings import Settings
from ..clients import Member
from ..pauses import Why
from .drainage.scout import Scout
from .notes import answered
from .stages import Stage, State, Way

__all__ = ["Beginnings", "missed_routes", "put_to_start", "start_offsets", "unfinished_routes"]

_log = logging.getLogger("kafkaroute.moves")


def start_offsets(
    client: BackendConsumer,
    partitions: Sequence[TopicPartition],
    start_at: str | None,
    since: float | None,
    timeout: float,
) -> tuple[list[TopicPartition], int]:
    """Where to start on `partitions`, which have no committed offset (a move is not a reset:
    ``auto.offset.reset`` does not count), and how many messages lie between there and the ends
    (what compaction took is counted).

    Args:
        start_at: the answer's: ``earliest``, ``latest`` or an RFC 3339 time.
        since: without it, start with what was written since then (seconds since the epoch); None
            is the beginning.
        timeout: seconds.

    Raises KafkaException: the broker did not answer for all of them.
    """
    if start_at in {"earliest", "latest"}:
        since = None
    elif start_at is not None:
        since = datetime.fromisoformat(start_at).timestamp()
    # Before the times: where nothing is as young, what is written from now on must not be skipped.
    ends = [client.get_watermark_offsets(one, timeout, False) for one in partitions]
    by_time = {}
    if since is not None and partitions:
        asked = [_at(one, int(since * 1000)) for one in partitions]
        answer = answered(client.offsets_for_times(asked, timeout))
        by_time = {one.partition: one.offset for one in answer}
    starts, total = [], 0
    for one, (low, high) in zip(partitions, ends, strict=True):
        start = high if start_at == "latest" else by_time.get(one.partition, low)
        start = high if start == OFFSET_END else max(low, start)
        starts.append(_at(one, start))
        total += max(0, high - start)
    return starts, total


def _at(partition: TopicPartition, offset: int) -> TopicPartition:
    return TopicPartition(partition.topic, partition.partition, offset)


#: Seconds for one question; the partitions stay paused and it is asked again.
_PATIENCE = 1.0


def put_to_start(stage: Stage) -> None:
    """Partitions of a place that a channel moved to are paused in the rebalance callback, where
    questions to the broker are out of place. Put those of `stage` that wait for it to their start.

    Raises KafkaException: the broker did not answer; they wait on."""
    member = stage.member
    if not stage.unplaced or member is None:
        return
    client = member.client
    waiting = [
        one
        for one in client.assignment()
        if one.topic == stage.topic and one.partition in stage.unplaced
    ]
    if not waiting:
        # Not assigned yet as far as the native consumer knows, or gone already.
        return
    wanted = [TopicPartition(one.topic, one.partition) for one in waiting]
    committed = answered(client.committed(wanted, _PATIENCE))
    seeks, unknown = [], []
    for one in committed:
        carried = stage.positions.get(one.partition, -1)
        if carried >= 0 and carried > one.offset:
            seeks.append(TopicPartition(one.topic, one.partition, carried))
        elif one.offset >= 0:
            seeks.append(TopicPartition(one.topic, one.partition, one.offset))
        elif one.partition in stage.starts:
            seeks.append(TopicPartition(one.topic, one.partition, stage.starts[one.partition]))
        else:
            unknown.append(one)
    starts = _starts(stage, unknown)
    for one in (*seeks, *starts):
        client.seek(one)
    if stage.fresh and starts:
        # Another member may get them next, perhaps one that found the channel there when it
        # began, and for which auto.offset.reset counts.
        client.commit([TopicPartition(s.topic, s.partition, s.offset) for s in starts], True)
    for one in (*committed, *seeks, *starts):
        stage.begun[one.partition] = one.offset
        stage.positions.pop(one.partition, None)
    stage.unplaced -= {one.partition for one in waiting}
    member.kept.let_go(waiting, Why.UNPLACED)


def _starts(stage: Stage, unknown: Sequence[TopicPartition]) -> list[TopicPartition]:
    if not unknown:
        return []
    assert stage.member is not None
    client, start_at = stage.member.client, stage.route.start_at
    starts, count = start_offsets(client, unknown, start_at, stage.since, _PATIENCE)
    stage.starts |= {one.partition: one.offset for one in starts}
    _log.info(
        "%s [%s] has no committed offset and starts at %s: %d messages to read",
        stage.topic,
        ", ".join(str(one.partition) for one in starts),
        ", ".join(str(one.offset) for one in starts),
        count,
    )
    return starts


class Beginnings:
    """Has such a channel's partitions begin where a channel that moved would: at the committed
    offset, else at ``start_at``, else at the beginning. ``auto.offset.reset`` does not count: its
    ``latest`` would lose what was written between the topic's first message and the catalog's word
    of it.

    Args:
        ways: the channels that move; those whose partitions wait for their start are among them.
        wake: called when there is something to do.
    """

    def __init__(
        self, router: Router[Member], ways: dict[str, Way], wake: Callable[[], None]
    ) -> None:
        self._router = router
        self._ways = ways
        self._wake = wake
        self.channels: Collection[str] = ()

    def expect(self, channels: Collection[str]) -> None:
        """The channels that a pattern came to stand for."""
        self.channels = channels

    def came(self, member: Member, partitions: Sequence[TopicPartition]) -> None:
        """The group gave partitions to `member`."""
        if not self.channels:
            return
        topics = {one.topic for one in partitions}
        for channel, topic in member.topics.items():
            if topic not in topics or channel not in self.channels or channel in self._ways:
                continue
            route = self._router.cache.peek(channel)
            if route is None:
                continue
            if route.topic != topic or self._router.place(route) != member.place:
                route = replace(route, topic=topic, generation=None)  # it moves already
            first = Stage(route, member.place, State.READ, by_move=True)
            first.member, first.cluster_id, first.fresh = member, member.cluster_id, True
            self._ways[channel] = Way(channel, first)
            self._wake()


#: Seconds for a look at an older place.
_LOOK_PATIENCE = 3.0


def unfinished_routes(router: Router[Member], route: Route) -> list[Route]:
    """Older routes of a channel that the group has to read to the end before `route`, oldest first.

    Known from the answer's ``previous`` and from the snapshot. One in which the group has never
    committed anything, and has not been seen, is none of its business; it is said to be finished.
    """
    group = str(router.place(route).config.get("group.id", ""))
    unfinished = router.cache.unfinished
    found = []
    for older in unfinished.of(route.channel, group):
        place = router.place(older)
        scout = Scout(get_backend(place.backend), place.config)
        try:
            look = scout.look(older.topic, _LOOK_PATIENCE)
        finally:
            scout.close()
        if look.untouched and not unfinished.was_read(route.channel, older, group):
            unfinished.finish(route.channel, older, group)
            continue
        unfinished.keep(route.channel, older)
        found.append(older)
    if found:
        _log.info("channel %s: %d earlier place(s) to be finished first", route.channel, len(found))
    return found


def missed_routes(settings: Settings, known: Route, new: Route) -> list[Route]:
    """The places between `known` and `new`, oldest first: moves may follow each other faster than
    the catalog is asked. Generations tell, where the answer has them and names its ``previous``."""
    if known.generation is None or new.generation is None:
        return []
    found = []
    for one in previous_routes(new, time.time()):
        if one.generation is None or not known.generation < one.generation < new.generation:
            continue
        try:
            settings.policy.check(one, settings.client_config)
        except RouteRejected as error:
            _log.warning("channel %s: an earlier place is not read: %s", new.channel, error)
        else:
            found.append(one)
    return found
