"""Where a native consumer stands, and committing it."""

from __future__ import annotations

import logging
from collections.abc import Collection

from ...backend.settings_keys import is_on, number_of
from ...errors import KafkaException
from ...messages import KafkaError, TopicPartition
from ...places import Place
from ..clients import Member
from .leaving import Standing
from .stages import Stage

__all__ = [
    "auto_commits",
    "cluster_of",
    "commit_stored",
    "partitions_of",
    "rebalance_seconds",
    "session_seconds",
    "standing_of",
    "standings",
]

_RESET = "auto.offset.reset"
#: librdkafka's names for it; the first is its default.
_AT_END = frozenset({"largest", "latest", "end"})

_log = logging.getLogger("kafkaroute.moves")


def auto_commits(place: Place) -> bool:
    """Whether the native consumers of `place` commit by themselves (librdkafka's default)."""
    return is_on(place.config, "enable.auto.commit")


def cluster_of(stage: Stage) -> str | None:
    """The cluster id of a stage in use; asks its native consumer, once."""
    member = stage.member
    if stage.cluster_id is None and member is not None:
        if member.cluster_id is None:
            try:
                member.cluster_id = member.client.list_topics(stage.topic, 1.0).cluster_id
            except KafkaException:
                return stage.route.cluster_id
        stage.cluster_id = member.cluster_id
    return stage.cluster_id


def session_seconds(place: Place) -> float:
    """After how long the group of `place` misses a member that is gone."""
    return number_of(place.config, "session.timeout.ms") / 1000


def rebalance_seconds(place: Place) -> float:
    """How long a rebalance of the group may take; max.poll.interval.ms is its timeout (KIP-62)."""
    return number_of(place.config, "max.poll.interval.ms") / 1000


def commit_stored(member: Member) -> None:
    """Commit what auto-commit owes, soon; nothing where the application commits by itself.

    Never waits: with a cluster that is away a commit took 6 s (confluent-kafka) and 60 s
    (kafka-python) to fail.
    """
    if not auto_commits(member.place):
        return
    try:
        member.client.commit(None, True)
    except KafkaException as error:
        if error.args[0].code() != KafkaError._NO_OFFSET:
            _log.debug("committing an old place: %s", error)


def partitions_of(stage: Stage) -> list[TopicPartition]:
    """What the group has given to this member of the stage's topic."""
    assert stage.member is not None
    return [one for one in stage.member.client.assignment() if one.topic == stage.topic]


def standing_of(stage: Stage) -> Standing:
    """Where the stage's member stands."""
    member = stage.member
    assert member is not None
    own = partitions_of(stage)
    silent = {
        one.partition
        for one in own
        if (one.topic, one.partition) in member.paused or member.kept.holds(one)
    }
    begun = stage.begun
    if not stage.by_move and stage.place.config.get(_RESET, "latest") in _AT_END:
        begun = dict.fromkeys((one.partition for one in own), -1)
    positions = {one.partition: one.offset for one in member.client.position(own)}
    return Standing(positions, silent, begun, member.settled)


def standings(member: Member, topics: Collection[str]) -> dict[tuple[str, int], int]:
    """(topic, partition) → position, where there is one."""
    own = [one for one in member.client.assignment() if one.topic in topics]
    return {
        (one.topic, one.partition): one.offset
        for one in member.client.position(own)
        if one.offset >= 0
    }
