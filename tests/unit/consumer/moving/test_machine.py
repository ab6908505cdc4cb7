"""A Consumer's channels that move, over clusters in memory."""

import threading
import time

import pytest

from kafkaroute import Phase, TopicPartition

from .. import moves_world
from ..moves_world import SEQUENCE, WINDOW, X, values

world, reading = moves_world.world, moves_world.reading


# Hold, leave, linger, done.


@pytest.mark.parametrize("where", [("B",), ("A", "other"), ("B", "other")])
def test_the_old_place_is_read_to_its_end_before_the_new_one(world, reading, where):
    cluster, topic = (*where, "orders")[:2]
    world.write(cluster, "new", topic=topic)
    world.move(reading, *where)
    world.write("A", "rest")
    found = world.until(reading, Phase.HELD)
    began = time.monotonic()
    world.write("A", "last")
    found += world.until(reading, Phase.LEFT)
    assert time.monotonic() - began >= WINDOW - 0.2
    found += world.until(reading, Phase.DONE)
    assert values(found) == ["rest", "last", "new"]
    assert world.phases() == SEQUENCE
    assert reading.counters()["left"] == 1


def test_the_application_sees_one_place_at_a_time(world):
    with world.started(move_window=3.0) as reading:
        world.calls.clear()
        world.move(reading, "B")
        world.until(reading, Phase.HELD)
        old = {p.place for p in reading.assignment()}
        world.during(reading, 0.1)
        assert len(reading.assignment()) == 4
        assert world.calls == []
        world.until(reading, Phase.LEFT)
        assert [call[0] for call in world.calls] == ["revoke", "assign"]
        assert {p.place for p in world.calls[0][2]} == old
        new = {p.place for p in world.calls[1][2]}
        assert new != old
        assert {p.place for p in reading.assignment()} == new
        world.until(reading, Phase.DONE)
        assert [call[0] for call in world.calls] == ["revoke", "assign"]
        assert [spy.cluster for spy in world.open_natives()] == [world.server("B")]


def test_a_topic_move_needs_one_native_consumer(world, reading):
    world.move(reading, "A", topic="other")
    world.until(reading, Phase.HELD)
    [native] = [spy for spy in world.open_natives() if spy._generation is not None]
    assert native._group.topics[native] == {"orders", "other"}
    world.until(reading, Phase.DONE)
    assert native._group.topics[native] == {"other"}
    assert world.calls[-2:][0][1] == {"orders"} or world.calls[-1][1] == {"other"}


def test_status_tells_from_where_to_where(world, reading):
    world.move(reading, "B", topic="other")
    world.until(reading, Phase.HELD)
    status = reading.routes()[X]
    assert (status.spot.topic, [spot.topic for spot in status.next]) == ("orders", ["other"])
    assert reading.is_moving()
    world.until(reading, Phase.LEFT)
    status = reading.routes()[X]
    assert (status.spot.topic, [spot.topic for spot in status.behind]) == ("other", ["orders"])
    assert not reading.is_moving()
    world.until(reading, Phase.DONE)
    reading.poll(0)
    assert reading.routes()[X].phase is None


def test_the_group_has_to_be_done_not_this_member_alone(world, reading):
    """Another member holds half of the old place and does not read it."""
    other = world.consumer()
    try:
        world.share(reading, other)
        for partition in range(4):
            world.write("A", "rest", partition=partition)
        world.put("B")
        world.tell(reading)
        world.until(reading, Phase.HELD)
        world.during(reading, 3 * WINDOW)
        assert Phase.LEFT not in world.phases()
        end = time.monotonic() + 10
        while world.phases().count(Phase.LEFT) < 2:
            assert time.monotonic() < end, world.phases()
            reading.poll(0.02)
            other.poll(0.02)
    finally:
        other.close()


def test_what_the_application_paused_is_waited_for(world, reading):
    reading.pause([TopicPartition(X, 0)])
    world.write("A", "waits")
    world.move(reading, "B")
    world.until(reading, Phase.HELD)
    assert world.during(reading, 3 * WINDOW) == []
    assert Phase.LEFT not in world.phases()
    reading.resume([TopicPartition(X, 0)])
    assert values(world.until(reading, Phase.LEFT)) == ["waits"]


def test_both_at_once_on_request(world):
    with world.started(on_move="overlap", move_window=60) as consumer:
        world.calls.clear()
        world.move(consumer, "B")
        world.until(consumer, Phase.LEFT)
        assert {p.place.config["bootstrap.servers"] for p in consumer.assignment()} == {
            world.server("A"),
            world.server("B"),
        }
        world.write("A", "old")
        world.write("B", "new")
        assert sorted(values(world.read(consumer, 2))) == ["new", "old"]
        world.until(consumer, Phase.DONE)
        assert [call[0] for call in world.calls] == ["assign", "revoke"]
        assert Phase.LATE not in world.phases()


# Places that do not answer.


def test_an_unreachable_place_is_not_gone_to(world, reading):
    world.backend.unreachable.add(world.server("B"))
    world.move(reading, "B")
    world.until(reading, Phase.UNREACHABLE)
    world.write("A", "still")
    assert values(world.read(reading, 1)) == ["still"]
    assert "away" in reading.routes()[X].error
    world.backend.unreachable.clear()
    world.until(reading, Phase.LEFT)
    assert world.phases()[:4] == [Phase.SEEN, Phase.UNREACHABLE, Phase.OPENED, Phase.HELD]


def test_another_cluster_than_promised_is_not_gone_to(world, reading):
    world.move(reading, "B", cluster_id="something else")
    world.until(reading, Phase.UNREACHABLE)
    [event] = [event for event in world.events if event.phase is Phase.UNREACHABLE]
    assert "something else" in event.detail


def test_a_dead_old_place_is_left_and_read_when_it_is_back(world):
    with world.started(move_linger=30) as consumer:
        world.move(consumer, "B")
        world.until(consumer, Phase.HELD)
        world.write("B", "new")
        consumer.commit(asynchronous=False)
        world.backend.unreachable.add(world.server("A"))
        world.write("A", "unread")
        found = world.until(consumer, Phase.LEFT, timeout=20)
        [event] = [event for event in world.events if event.phase is Phase.UNREAD]
        assert (event.partitions[0].channel, event.partitions[0].offset) == (X, 1)
        found += world.read(consumer, 1 - len(found))
        assert values(found) == ["new"]
        world.backend.unreachable.clear()
        assert values(world.read(consumer, 1)) == ["unread"]
        world.until(consumer, Phase.LATE)


def test_closing_the_old_place_holds_nobody_up(world, reading):
    """With a cluster that is away it takes a long time."""
    world.move(reading, "B")
    world.until(reading, Phase.LEFT)
    world.backend.slow.add(world.server("A"))
    try:
        world.until(reading, Phase.DONE)
        world.write("B", "new")
        assert values(world.read(reading, 1)) == ["new"]
        assert world.server("A") in {spy.cluster for spy in world.open_natives()}
    finally:
        world.backend.slow_closing.set()
    reading.close()  # waits for it
    assert not [t for t in threading.enumerate() if t.name == "kafkaroute-close"]
