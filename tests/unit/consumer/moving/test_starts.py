"""Where a group without committed offsets starts on a place to which its channel moved."""

import time
from unittest.mock import Mock

import pytest

from kafkaroute import KafkaError, KafkaException, Phase, TopicPartition
from kafkaroute.consumer.moving.stages import Stage, State
from kafkaroute.consumer.moving.starts import put_to_start, start_offsets
from kafkaroute.messages import OFFSET_END
from kafkaroute.places import Place
from kafkaroute.testing.scripted_catalog import route_to

from .. import moves_world
from ..moves_world import WINDOW, values

world = moves_world.world
NOW = 1_764_000_000.0


class Log:
    """One partition; the times of its messages, the first of them at offset 5."""

    def __init__(self, *times):
        self.times = list(times)
        self.meanwhile = []
        self.error = None

    def get_watermark_offsets(self, partition, timeout, cached):
        del partition, timeout, cached
        return 5, 5 + len(self._now())

    def offsets_for_times(self, partitions, timeout):
        del timeout
        [one] = partitions
        later = [5 + n for n, at in enumerate(self._now()) if at * 1000 >= one.offset]
        found = TopicPartition(one.topic, one.partition, min(later, default=OFFSET_END))
        found.error = self.error
        return [found]

    def _now(self):
        """What was there when asked; `meanwhile` is written right after."""
        there = list(self.times)
        self.times += self.meanwhile
        self.meanwhile = []
        return there


def start(log, start_at=None, since=None):
    [one], count = start_offsets(log, [TopicPartition("t", 0)], start_at, since, 1.0)
    return one.offset, count


@pytest.mark.parametrize(
    ("start_at", "since", "expected"),
    [
        (None, None, (5, 3)),
        (None, NOW + 2, (7, 1)),
        (None, NOW + 9, (8, 0)),
        ("earliest", NOW + 9, (5, 3)),
        ("latest", None, (8, 0)),
        ("2025-11-24T16:00:01Z", NOW + 9, (6, 2)),
    ],
)
def test_the_answer_counts_more_than_the_setting(start_at, since, expected):
    assert start(Log(NOW, NOW + 1, NOW + 2), start_at, since) == expected


def test_what_is_written_between_two_questions_is_not_skipped():
    log = Log(NOW)
    log.meanwhile = [NOW + 3]
    assert start(log, since=NOW + 2)[0] == 6


def test_a_partition_that_did_not_answer_is_asked_again():
    log = Log(NOW)
    log.error = KafkaError(KafkaError.LEADER_NOT_AVAILABLE)
    with pytest.raises(KafkaException):
        start(log, since=NOW)


def test_what_producers_wrote_before_this_consumer_heard_of_the_move_is_read(world):
    """They may have known of it for as long as the old answer was fresh, whatever the new says."""
    world.put("A", cache_control="max-age=2")
    world.write("A", "first")
    config = {"enable.auto.commit": False}
    with world.consumer(
        client_config=config, move_window=None, on_move_start="timestamp"
    ) as consumer:
        assert values(world.read(consumer, 1)) == ["first"]
        world.write("B", "mirrored")
        time.sleep(2.2)
        world.write("B", "new")
        time.sleep(0.3)
        world.move(consumer, "B", cache_control="max-age=0")
        assert values(world.until(consumer, Phase.DONE)) == ["new"]


def test_who_was_down_when_the_channel_moved_reads_what_was_written_meanwhile(world):
    """When it moved is not known, and may be long ago."""
    world.started().close()
    world.write("A", "rest")
    world.write("A", "rest", partition=1)
    connection = {"bootstrap.servers": world.server("A")}
    world.put("B", previous=[{"topic": "orders", "connection": connection, "credentials": {}}])
    world.write("B", "while down")
    time.sleep(WINDOW + 0.3)
    with world.consumer(on_move_start="timestamp") as consumer:
        assert sorted(values(world.read(consumer, 3))) == ["rest", "rest", "while down"]


def test_a_position_that_was_carried_over_outlives_a_question_without_answer():
    """Of two partitions of a new native consumer, one goes on where the old one stood."""
    gone_on, new = TopicPartition("t", 0, 20), TopicPartition("t", 1, -1001)
    place = Place("fake", {"bootstrap.servers": "a:1"})
    stage = Stage(route_to("t"), place, State.READ, by_move=True)
    stage.unplaced, stage.positions = {0, 1}, {0: 23}
    client = Mock()
    client.assignment.return_value = client.committed.return_value = [gone_on, new]
    no_answer = KafkaException(KafkaError(KafkaError._TIMED_OUT))
    client.get_watermark_offsets.side_effect = [no_answer, (5, 9)]
    stage.member = Mock(client=client)
    with pytest.raises(KafkaException):
        put_to_start(stage)
    put_to_start(stage)
    sought = [call.args[0] for call in client.seek.call_args_list]
    assert [(one.partition, one.offset) for one in sought] == [(0, 23), (1, 5)]
    assert (stage.unplaced, stage.positions) == (set(), {})
