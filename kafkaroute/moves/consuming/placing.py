"""Putting partitions that the group has given to where their reading starts."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ...kept import Why
from ...messages import TopicPartition
from ..notes import answered
from .stages import Stage
from .starting import start_offsets

__all__ = ["put_to_start"]

_log = logging.getLogger("kafkaroute.moves")

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
