"""What a Consumer's moves keep back: read later, not lost, not paused for ever."""

import time
from contextlib import suppress

import pytest

from kafkaroute import ChannelNotFound, Phase, TopicPartition

from .. import moves_world
from ..moves_world import WINDOW, X, Y, share_of_both, values

world = moves_world.world


# What is paused natively is read again.


def gather(consumers, count, timeout=10):
    found = []
    end = time.monotonic() + timeout
    while len(found) < count:
        assert time.monotonic() < end, values(found)
        found += [m for consumer in consumers if (m := consumer.poll(0.02)) is not None]
    return found


def write_everywhere(world, cluster, name):
    for partition in range(4):
        world.write(cluster, f"{name}{partition}", partition=partition)


def names(name):
    return [f"{name}{partition}" for partition in range(4)]


def joined_in_the_hold(world, consumer):
    """A plain member of the group at B takes half of what `consumer` keeps back there."""
    other = world.backend.open_consumer(
        {
            "bootstrap.servers": world.server("B"),
            "group.id": world.group,
            "auto.offset.reset": "earliest",
        },
        {},
    )
    other.subscribe(["orders"], None, None, None)
    end = time.monotonic() + 5
    while len(other.assignment()) != 2:
        assert time.monotonic() < end
        consumer.poll(0.02)
        other.poll(0.02)
    return other


def test_partitions_that_were_away_when_the_hold_ended_are_read(world):
    with world.started(move_window=1.0) as consumer:
        world.move(consumer, "B")
        world.until(consumer, Phase.HELD)
        world.during(consumer, 0.2)
        other = joined_in_the_hold(world, consumer)
        end = time.monotonic() + 10
        while Phase.DONE not in world.phases():
            assert time.monotonic() < end
            consumer.poll(0.02)
            other.poll(0.02)
        other.close()
        world.share(consumer)
        write_everywhere(world, "B", "new")
        assert sorted(values(world.read(consumer, 4))) == names("new")


def test_a_refused_channel_reads_all_when_it_is_back(world):
    """Half of its partitions were with another member when it was allowed again."""
    with world.started(on_revoked="stop") as consumer:
        world.stub.remove(X)
        world.tell(consumer)
        with pytest.raises(ChannelNotFound):
            world.during(consumer, 5)
        other = world.backend.open_consumer(
            {"bootstrap.servers": world.server("A"), "group.id": world.group}, {}
        )
        other.subscribe(["orders"], None, None, None)
        world.put("A")
        world.tell(consumer)
        end = time.monotonic() + 10
        while Phase.RESTORED not in world.phases() or len(other.assignment()) != 2:
            assert time.monotonic() < end
            with suppress(ChannelNotFound):
                consumer.poll(0.02)
            other.poll(0.02)
        other.close()
        world.share(consumer)
        write_everywhere(world, "A", "new")
        assert sorted(values(world.read(consumer, 4))) == names("new")


# What the application resumes is not what kafkaroute keeps back.


def test_resume_does_not_read_what_other_members_hold(world):
    with world.started(move_window=1.5) as holder:
        world.move(holder, "B")
        world.until(holder, Phase.HELD)
        world.during(holder, 0.2)
        with world.consumer(ttl=7.0) as joiner:
            end = time.monotonic() + 5
            while len(joiner.assignment()) != 2:
                assert time.monotonic() < end
                joiner.poll(0.02)
                holder.poll(0.02)
            write_everywhere(world, "B", "new")
            joiner.pause(joiner.assignment())
            joiner.resume(joiner.assignment())
            found = []
            while Phase.LEFT not in world.phases():
                assert time.monotonic() < end + 10
                assert joiner.poll(0.02) is None or Phase.LEFT in world.phases()
                if (message := holder.poll(0.02)) is not None:
                    found.append(message)
            found += gather([joiner, holder], 4 - len(found), timeout=15)
            assert sorted(values(found)) == names("new")


def test_resume_does_not_read_a_refused_channel(world):
    with world.started(on_revoked="stop") as consumer:
        world.stub.remove(X)
        world.tell(consumer)
        with pytest.raises(ChannelNotFound):
            world.during(consumer, 5)
        world.write("A", "waits")
        consumer.pause(consumer.assignment())
        consumer.resume(consumer.assignment())
        with suppress(ChannelNotFound):
            assert world.during(consumer, 0.3) == []
        world.put("A")
        world.tell(consumer)
        found = []
        end = time.monotonic() + 5
        while not found:
            assert time.monotonic() < end
            with suppress(ChannelNotFound):
                found += world.during(consumer, 0.05)
            assert not found or Phase.RESTORED in world.phases()


def test_offsets_of_on_assign_do_not_end_a_wait(world):
    """The application says where to start; other members hold the place all the same."""
    with world.started(move_window=1.5) as holder:
        world.move(holder, "B")
        world.until(holder, Phase.HELD)
        world.during(holder, 0.2)
        write_everywhere(world, "B", "new")
        with world.consumer(ttl=7.0) as joiner:

            def on_assign(consumer, partitions):
                for one in partitions:
                    one.offset = 0
                consumer.assign(partitions)

            joiner.subscribe([X], on_assign)
            end = time.monotonic() + 5
            while len(joiner.assignment()) != 2:
                assert time.monotonic() < end
                joiner.poll(0.02)
                holder.poll(0.02)
            while Phase.LEFT not in world.phases():
                assert time.monotonic() < end + 10
                assert joiner.poll(0.02) is None or Phase.LEFT in world.phases()
                holder.poll(0.02)


# What consume() has collected.


def test_consume_keeps_what_it_has_when_a_refused_channel_raises(world):
    world.put("A")
    world.put("A", topic="bills", channel=Y)
    with world.consumer([X, Y], on_revoked="stop") as consumer:
        share_of_both(world, consumer)
        world.stub.remove(X)
        world.tell(consumer)
        found, errors, written = [], 0, 0
        end = time.monotonic() + 10
        while errors < 3:
            assert time.monotonic() < end
            world.write("A", *map(str, range(written, written + 5)), topic="bills")
            written += 5
            try:
                found += consumer.consume(1000, 0.3)
            except ChannelNotFound:
                errors += 1
        while len(found) < written:
            assert time.monotonic() < end, (len(found), written)
            with suppress(ChannelNotFound):
                found += consumer.consume(1000, 0.1)
        assert values(found) == [str(number) for number in range(written)]


def test_consume_keeps_what_it_has_when_a_move_calls_back_and_raises(world):
    world.put("A")
    world.put("C", topic="bills", channel=Y)
    with world.consumer([X, Y]) as consumer:
        share_of_both(world, consumer)
        raised = []

        def on_revoke(consumer, partitions):
            if Phase.HELD in world.phases() and not raised:
                raised.append(partitions)
                raise RuntimeError("the application's own")

        consumer.subscribe([X, Y], world.on_assign, on_revoke)
        world.move(consumer, "B")
        found, written = [], 0
        end = time.monotonic() + 10
        while not raised:
            assert time.monotonic() < end, world.phases()
            world.write("C", *map(str, range(written, written + 3)), topic="bills")
            written += 3
            with suppress(RuntimeError):
                found += consumer.consume(1000, 0.3)
        while len(found) < written:
            assert time.monotonic() < end, (len(found), written)
            found += consumer.consume(1000, 0.1)
        assert values(found) == [str(number) for number in range(written)]


# What nobody was given is not committed.


@pytest.mark.parametrize("reset", ["earliest", "latest"])
def test_a_paused_partition_is_waited_for_and_not_committed(world, reset):
    """Nothing of it was ever delivered."""
    world.put("A")
    with world.consumer(client_config={"auto.offset.reset": reset}) as consumer:
        while not consumer.assignment():
            assert consumer.poll(0.02) is None
        consumer.pause([TopicPartition(X, 1)])
        world.write("A", "waits", "too", partition=1)
        world.move(consumer, "B")
        world.until(consumer, Phase.HELD)
        assert world.during(consumer, WINDOW + 4 * 0.6) == []
        assert Phase.LEFT not in world.phases()
        assert world.committed("A", partition=1)[0] is None
        consumer.resume([TopicPartition(X, 1)])
        found = world.until(consumer, Phase.LEFT)
        assert values(found) == ["waits", "too"]


def test_what_a_slow_broker_owes_is_not_committed(world):
    """The group started at the beginning; a partition's messages do not come for a while."""
    world.put("A")
    with world.consumer(move_linger=30) as consumer:
        while not consumer.assignment():
            assert consumer.poll(0.02) is None
        [native] = [spy for spy in world.backend.consumers if spy._next]
        native.pause([TopicPartition("orders", 1)])
        world.write("A", "slow", partition=1)
        world.move(consumer, "B")
        found = world.until(consumer, Phase.LEFT)
        assert found or world.committed("A", partition=1)[0] is None
        native.resume([TopicPartition("orders", 1)])
        found += world.read(consumer, 1 - len(found))
        assert values(found) == ["slow"]
