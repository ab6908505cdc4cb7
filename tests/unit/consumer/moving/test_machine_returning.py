"""A Consumer's channels that come back to where they were, and channels that share a topic."""

import gc
import threading
import time
import weakref

import pytest

from kafkaroute import Phase, TopicPartition

from .. import moves_world
from ..moves_world import X, values

world, reading = moves_world.world, moves_world.reading
Z = "kafka://x/orders-too"
CREDENTIALS = {"sasl.username": "first", "sasl.password": "p1"}
OTHERS = {"sasl.username": "second", "sasl.password": "p2"}


def in_group(world, cluster):
    return [
        spy
        for spy in world.open_natives()
        if spy.cluster == world.server(cluster) and spy._generation is not None
    ]


@pytest.mark.parametrize(
    ("first", "second", "phase"),
    [
        ({"configuration": {"linger.ms": 0}}, {"configuration": {"linger.ms": 1}}, Phase.REOPENED),
        ({"credentials": CREDENTIALS}, {"credentials": OTHERS}, Phase.CREDENTIALS),
    ],
)
def test_settings_may_be_rolled_back(world, first, second, phase):
    world.put("A", **first)
    world.write("A", "1")
    with world.consumer() as consumer:
        world.read(consumer, 1)
        world.move(consumer, "A", **second)
        world.until(consumer, phase)
        world.move(consumer, "A", **first)
        world.until(consumer, phase, 2)
        wanted = next(iter(first.values()))
        [member] = consumer._members.all
        assert {key: member.place.config[key] for key in wanted} == wanted
        world.write("A", "2")
        [message] = world.read(consumer, 1)
        consumer.commit(message, asynchronous=False)
    assert values([message]) == ["2"]


def test_settings_that_are_rolled_back_before_they_were_used(world):
    """The place is its own neighbour: nothing lies in between that would have to be read first."""
    with world.started(move_linger=30) as consumer:
        world.move(consumer, "B")
        world.until(consumer, Phase.LINGERING)
        for linger in (1, 0):
            more = {"configuration": {"linger.ms": linger}} if linger else {}
            world.move(consumer, "B", **more)
            time.sleep(0.2)  # it is heard of
        consumer.poll(0)
        time.sleep(0.5)  # both answer before the next step
        world.until(consumer, Phase.REOPENED, 2)
        world.write("B", "2")
        assert values(world.read(consumer, 1)) == ["2"]


def test_a_place_that_was_used_with_these_settings_before_is_usable(world):
    with world.started(move_linger=0.3) as consumer:
        world.move(consumer, "A", configuration={"linger.ms": 1})
        world.until(consumer, Phase.REOPENED)
        world.move(consumer, "B")
        world.until(consumer, Phase.DONE)
        world.move(consumer, "A")
        world.until(consumer, Phase.DONE, 2)
        world.write("A", "again")
        [message] = world.read(consumer, 1)
        consumer.commit(message, asynchronous=False)
        assert world.committed("A") == (message.offset() + 1, None)
        consumer.pause(consumer.assignment())
        consumer.position(consumer.assignment())


def test_back_by_other_settings_to_a_place_that_is_still_watched(world):
    """Two native consumers of one group at one cluster would share what is held."""
    with world.started(move_linger=30) as consumer:
        world.move(consumer, "B")
        world.until(consumer, Phase.LEFT)
        world.move(consumer, "A", configuration={"linger.ms": 1})
        world.until(consumer, Phase.HELD, 2)
        assert len(in_group(world, "A")) == 1
        for partition in range(4):
            world.write("A", f"A{partition}", partition=partition)
        world.write("B", "rest of B")
        assert values(world.read(consumer, 1)) == ["rest of B"]
        assert sorted(values(world.read(consumer, 4))) == ["A0", "A1", "A2", "A3"]
        assert Phase.LATE not in world.phases()


def test_changes_that_wait_are_followed_in_order_by_a_new_subscription(world):
    with world.started(move_linger=0.3) as consumer:
        world.move(consumer, "B")
        time.sleep(0.1)
        world.write("B", "B")
        world.move(consumer, "C")
        time.sleep(0.1)
        world.write("C", "C")
        consumer.subscribe([X])
        assert values(world.read(consumer, 2)) == ["B", "C"]


def test_what_nobody_could_read_stays_unfinished(world):
    with world.started(move_linger=0.3) as consumer:
        world.backend.unreachable.add(world.server("A"))
        world.write("A", "never read")
        world.move(consumer, "B")
        world.until(consumer, Phase.DONE, timeout=20)
        assert Phase.UNREAD in world.phases()
        left = consumer._router.cache.unfinished.of(X, world.group)
        assert [route.connection["bootstrap.servers"] for route in left] == [world.server("A")]
        world.backend.unreachable.clear()


@pytest.fixture
def sharing(world, caplog):
    """Two channels that are one topic."""
    world.put("A")
    world.put("A", channel=Z)
    world.write("A", "first")
    with world.consumer(channels=(X, Z)) as consumer:
        world.read(consumer, 1)
        yield consumer


def test_a_channel_that_is_dropped_takes_nothing_from_another(world, sharing):
    world.put("B")
    world.put("B", channel=Z)
    world.tell(sharing)
    world.tell(sharing, Z)
    world.until(sharing, Phase.HELD, channel=Z)
    sharing.subscribe([Z])
    world.until(sharing, Phase.LEFT, channel=Z)
    world.write("B", "new")
    assert values(world.read(sharing, 1)) == ["new"]


def test_a_channel_that_moves_takes_nothing_from_another(world, sharing):
    kept = [one for one in sharing.assignment() if one.partition == 1]
    sharing.pause(kept)
    world.calls.clear()
    world.move(sharing, "B")
    world.until(sharing, Phase.LEFT)
    assert [call for call in world.calls if call[0] == "revoke"] == []
    world.write("A", "in the paused one", partition=1)
    assert world.during(sharing, 0.5) == []


def test_a_member_that_joined_a_hold_learns_of_its_end_from_commits(world):
    """The note ``released`` is gone with the next commit, here before the other could see it."""
    own_commits = {"enable.auto.commit": False}
    with world.started(move_window=1.0, client_config=own_commits) as holder:
        holder.commit(offsets=[TopicPartition("orders", 0, 1)], asynchronous=False)
        world.move(holder, "B")
        world.until(holder, Phase.HELD)
        world.during(holder, 0.3)
        with world.consumer(ttl=7.0, client_config=own_commits) as joiner:
            end = time.monotonic() + 5
            while len(joiner.assignment()) != 2:
                assert time.monotonic() < end
                joiner.poll(0.02)
                holder.poll(0.02)
            for partition in range(4):
                world.write("B", *(f"{partition}-{n}" for n in range(3)), partition=partition)
            found = []
            end = time.monotonic() + 10
            while len(found) < 12:
                assert time.monotonic() < end, found
                for consumer in (holder, joiner):
                    if (message := consumer.poll(0.01)) is not None:
                        consumer.commit(message, asynchronous=False)
                        found.append((consumer is joiner, message.value()))
            assert {by_joiner for by_joiner, _ in found} == {True, False}


def test_a_consumer_that_is_dropped_leaves_nothing_behind(world):
    consumer = world.started(move_window=30.0)
    world.move(consumer, "B")
    world.until(consumer, Phase.HELD)
    world.during(consumer, 0.2)
    gone = weakref.ref(consumer)
    del consumer
    gc.collect()
    assert gone() is None
    end = time.monotonic() + 5
    while any(thread.name.startswith("kafkaroute-scout") for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.02)
    # The garbage collector has them, for nobody was there to close them; the spies are ours.
    world.backend.consumers.clear()


# Answers that are mended before anybody could follow them.


def mend(world, consumer):
    """The catalog answers B, which does not answer, and then A again; what was read
    meanwhile."""
    world.backend.unreachable.add(world.server("B"))
    seen = world.phases().count(Phase.UNREACHABLE)
    world.move(consumer, "B")
    found = world.until(consumer, Phase.UNREACHABLE, seen + 1)
    world.move(consumer, "A")
    return found


def test_a_wrong_answer_that_is_mended_moves_nothing(world, reading):
    for number in range(2):
        world.write("A", f"before {number}")
        found = mend(world, reading)
        world.write("A", f"after {number}")
        found += world.until(reading, Phase.DONE, number + 1)
        found += world.read(reading, 2 - len(found))
        assert values(found) == [f"before {number}", f"after {number}"]
    assert not reading._moves.ways
    assert reading.routes()[X].next == ()
    assert [event.detail for event in world.events if event.phase is Phase.UNREAD]
    world.backend.unreachable.clear()
    world.write("B", "new")
    world.move(reading, "B")  # a real one is followed as ever
    found = world.until(reading, Phase.LEFT)
    assert values(found + world.read(reading, 1 - len(found))) == ["new"]


def test_a_place_that_never_answers_is_not_in_the_way_of_the_next(world, reading):
    world.backend.unreachable.add(world.server("B"))
    world.move(reading, "B")
    world.until(reading, Phase.UNREACHABLE)
    world.write("A", "rest")
    world.write("C", "next")
    world.move(reading, "C")
    found = world.until(reading, Phase.LEFT)
    found += world.read(reading, 2 - len(found))
    assert values(found) == ["rest", "next"]
    [skipped] = [event for event in world.events if event.phase is Phase.UNREAD]
    assert skipped.old.bootstrap_servers == world.server("B")
    assert "never reached" in skipped.detail


def test_a_wrong_answer_behind_a_move_is_mended_too(world, reading):
    world.move(reading, "C")
    world.until(reading, Phase.LEFT)
    world.backend.unreachable.add(world.server("B"))
    world.move(reading, "B")
    world.until(reading, Phase.UNREACHABLE)
    world.move(reading, "C")
    world.write("C", "after")
    assert values(world.read(reading, 1)) == ["after"]
    world.until(reading, Phase.UNREAD)
    assert values(world.during(reading, 0.2)) == []
