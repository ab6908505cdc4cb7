"""Putting partitions that the group has given to where their reading starts."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ...kept import Why
from ...messages import TopicPartition
from ...settings import Settings
from ..notes import answered
from .stages import Stage
from .starting import resolved, start_offsets

__all__ = ["Placing"]

_log = logging.getLogger("kafkaroute.moves")

#: Seconds for one question; the partitions stay paused and it is asked again.
_PATIENCE = 1.0


class Placing:
    """Partitions of a place that a channel moved to are paused in the rebalance callback, where
    questions to the broker are out of place, and put to their start afterwards."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def place(self, stage: Stage, window: float) -> None:
        """Do so for the partitions of `stage` that wait for it.

        Args:
            window: seconds by which producers may be earlier than this Consumer.

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
            carried = stage.positions.pop(one.partition, -1)
            if carried >= 0 and carried > one.offset:
                seeks.append(TopicPartition(one.topic, one.partition, carried))
            elif one.offset < 0 and one.partition in stage.starts:
                seeks.append(TopicPartition(one.topic, one.partition, stage.starts[one.partition]))
            elif one.offset < 0:
                unknown.append(one)
        starts = self._starts(stage, unknown, window)
        for one in (*seeks, *starts):
            client.seek(one)
        if stage.fresh and starts:
            # Another member may get them next, perhaps one that found the channel there when it
            # began, and for which auto.offset.reset counts.
            client.commit([TopicPartition(s.topic, s.partition, s.offset) for s in starts], True)
        for one in (*committed, *seeks, *starts):
            stage.begun[one.partition] = one.offset
        stage.unplaced -= {one.partition for one in waiting}
        member.kept.let_go(waiting, Why.UNPLACED)

    def since(self, stage: Stage, window: float) -> float | None:
        """Seconds since the epoch from which on `stage` is read, where nothing is committed; None
        is its beginning."""
        if self._settings.on_move_start == "timestamp" and not stage.fresh:
            return stage.wall - window
        return None

    def _starts(
        self, stage: Stage, unknown: Sequence[TopicPartition], window: float
    ) -> list[TopicPartition]:
        if not unknown:
            return []
        assert stage.member is not None
        client = stage.member.client
        since = self.since(stage, window)
        starts = start_offsets(client, unknown, stage.route.start_at, since, _PATIENCE)
        absolute, count = resolved(client, starts, _PATIENCE)
        stage.starts |= {one.partition: one.offset for one in absolute}
        _log.info(
            "%s [%s] has no committed offset and starts at %s: %d messages to read",
            stage.topic,
            ", ".join(str(one.partition) for one in absolute),
            ", ".join(str(one.offset) for one in absolute),
            count,
        )
        return absolute
