"""Where a Consumer that moves begins, and what it commits, over clusters in memory."""

import time

import pytest

from kafkaroute import KafkaError, KafkaException, Phase, TopicPartition

from .. import moves_world
from ..moves_world import WINDOW, X, values

world, reading = moves_world.world, moves_world.reading


# Groups that commit by themselves, or not at all.


def test_read_but_not_committed(world):
    with world.started(client_config={"enable.auto.commit": False}) as consumer:
        consumer.commit(asynchronous=False)
        world.write("A", "second", "third")
        world.read(consumer, 2)
        world.move(consumer, "B")
        world.until(consumer, Phase.LEFT)
        [event] = [event for event in world.events if event.phase is Phase.UNCOMMITTED]
        assert [(p.partition, p.offset) for p in event.partitions] == [(0, 3)]


def test_members_tell_each_other_what_they_have_not_committed(world):
    """None waits for a session timeout (45 s), as if the other were dead."""
    config = {"enable.auto.commit": False}
    with (
        world.started(client_config=config) as one,
        world.consumer(client_config=config) as two,
    ):
        one.commit(asynchronous=False)
        world.share(one, two, timeout=20)
        for partition in range(4):
            world.group_at("A").committed["orders", partition] = (int(partition == 0), None)
            world.write("A", "read, not committed", partition=partition)
        world.move(one, "B")
        found, end = [], time.monotonic() + 30
        while world.phases().count(Phase.LEFT) < 2:
            assert time.monotonic() < end, world.phases()
            found += [m for m in (one.poll(0.02), two.poll(0.02)) if m is not None]
        assert len(found) == 4
        assert world.phases().count(Phase.UNCOMMITTED) == 2
        assert world.committed("A") == (1, "kr1:read:2;")


def test_a_group_that_never_commits_is_judged_by_its_position(world):
    with world.started(client_config={"enable.auto.commit": False}, drain_timeout=60) as consumer:
        world.move(consumer, "B")
        world.until(consumer, Phase.LEFT)  # long before the drain is given up
        assert Phase.UNCOMMITTED not in world.phases()
    assert world.committed("A") == (None, None)
    assert world.committed("B") == (None, None)


def test_history_that_nobody_reads_does_not_hold_the_move(world):
    """A group that started at the end has no offset, and will never have one."""
    world.put("A")
    world.write("A", "history")
    with world.consumer(client_config={"auto.offset.reset": "latest"}) as consumer:
        world.share(consumer)
        world.during(consumer, 0.1)
        world.move(consumer, "B")
        world.until(consumer, Phase.LEFT)


# Where reading starts.


@pytest.mark.parametrize(
    ("start_at", "expected"),
    [(None, ["1", "2", "3"]), ("latest", ["3"]), ("earliest", ["1", "2", "3"])],
)
def test_a_group_without_offsets_starts_where_told(world, start_at, expected):
    with world.started() as consumer:
        world.write("B", "1", "2")
        more = {} if start_at is None else {"start_at": start_at}
        world.move(consumer, "B", **more)
        world.until(consumer, Phase.HELD)
        world.during(consumer, 0.2)
        world.write("B", "3")
        assert values(world.until(consumer, Phase.DONE)) == expected


def test_mirrored_history_is_skipped_on_request(world):
    with world.started(on_move_start="timestamp") as consumer:
        world.write("B", "history")
        time.sleep(WINDOW + 0.2)
        world.move(consumer, "B")
        world.until(consumer, Phase.HELD)
        world.write("B", "new")
        assert values(world.until(consumer, Phase.DONE)) == ["new"]


def test_committed_offsets_win(world, reading):
    world.write("B", "1", "2", "3")
    world.group_at("B").committed["orders", 0] = (2, None)
    world.move(reading, "B", start_at="earliest")
    assert values(world.until(reading, Phase.DONE)) == ["3"]


def test_the_application_may_say_where_to_start(world):
    world.put("A")
    world.write("A", "first")
    world.write("B", "1", "2", "3")
    with world.consumer() as consumer:

        def on_assign(consumer, partitions):
            for one in partitions:
                if one.topic == "other" and one.partition == 0:
                    one.offset = 1
            consumer.assign(partitions)

        consumer.subscribe([X], on_assign, lambda consumer, _: consumer.unassign())
        world.read(consumer, 1)
        world.write("B", "a", "b", topic="other")
        world.move(consumer, "B", topic="other")
        found = world.until(consumer, Phase.LEFT)
        world.write("A", "late")
        assert sorted(values([*found, *world.until(consumer, Phase.DONE)])) == ["b", "late"]


# Commits of a channel that is in two places.


def test_an_offset_of_the_old_place_skips_nothing_in_the_new_one(world, reading):
    world.write("A", *map(str, range(9)))
    [*_, last] = world.read(reading, 9)
    [given] = [p for p in reading.assignment() if p.partition == 0]
    world.move(reading, "B")
    world.until(reading, Phase.LEFT)
    mine = TopicPartition("orders", 0, 10)
    with pytest.raises(KafkaException, match="old or of the new") as caught:
        reading.commit(offsets=[TopicPartition(X, 0, 10)], asynchronous=False)
    assert caught.value.args[0].code() == KafkaError._INVALID_ARG
    with pytest.raises(KafkaException, match="old or of the new"):
        reading.commit(offsets=[mine], asynchronous=False)
    for commit in (
        lambda: reading.commit(last, asynchronous=False),
        lambda: reading.commit(offsets=[given], asynchronous=False),
    ):
        given.offset = 10
        world.group_at("A").committed["orders", 0] = (3, None)
        commit()
        assert world.committed("A")[0] == 10
        assert world.committed("B")[0] == 0
    world.write("B", *map(str, range(20)))
    new = world.read(reading, 1)[0]
    assert new.value() == b"0"
    [answer] = reading.commit(offsets=[TopicPartition(X, 0, 1)], asynchronous=False)
    assert (answer.channel, answer.place) == (X, new.origin().place)
    assert world.committed("B")[0] == 1
    reading.seek(TopicPartition(X, 0, 5))
    assert world.read(reading, 1)[0].value() == b"5"
    world.until(reading, Phase.DONE)
    with pytest.raises(KafkaException, match="no longer read") as caught:
        reading.commit(last)
    assert caught.value.args[0].code() == KafkaError._STATE
