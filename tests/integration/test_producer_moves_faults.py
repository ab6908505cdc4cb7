"""What a Producer's move rescues when a cluster fails or close() comes first."""

import contextlib
import itertools
import time

import pytest

from kafkaroute import Phase
from kafkaroute.testing.cluster import unique_name

from .producer_load import IDEMPOTENT, MOVING, Load, check, check_order, moved, numbers, put


def test_an_unreachable_cluster_is_not_taken(world):
    channel = world.channel(0, partitions=2)
    old = world.where[channel]
    topic = world.clusters[1].new_topic(2)
    events = []
    producer = world.producer(IDEMPOTENT, on_route_change=events.append, **MOVING)
    with Load(producer, channel) as load:
        world.wait(lambda: load.sent > 50)
        world.clusters[1].kill()
        try:
            world.stub.put(channel, topic=topic, connection=world.connection(1))
            world.wait(lambda: [e for e in events if e.phase == Phase.UNREACHABLE])
            load.go_on(world, 200)
            assert not moved(producer)
        finally:
            world.clusters[1].start()
        world.wait(lambda: moved(producer), 60)
        load.go_on(world, 50)
    assert producer.flush(30) == 0
    assert len([e for e in events if e.phase == Phase.UNREACHABLE]) == 1
    check(world, load, [old, (1, topic)])


def test_the_old_cluster_is_gone(world):
    """What it did not acknowledge is delivered by the new one, in order, before all else."""
    channel = world.channel(0, partitions=2)
    old = world.where[channel]
    producer = world.producer(IDEMPOTENT, **MOVING)
    with Load(producer, channel) as load:
        world.wait(lambda: load.sent > 100)
        new = put(world, channel, 1, unique_name("moved"))
        world.clusters[0].kill()
        try:
            world.wait(lambda: moved(producer))
        finally:
            world.clusters[0].start()
        load.go_on(world, 100)
    assert producer.flush(30) == 0
    assert producer.counters()["rescued"] > 0
    check(world, load, [old, new], duplicates=True)


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_the_old_cluster_fails_at_the_change(real_world, fault):
    """The longest silence of the producer is bounded by the TTL and five seconds."""
    world = real_world
    old_cluster = world.clusters[0]
    channel = world.channel(0, partitions=2)
    old = world.where[channel]
    producer = world.producer(IDEMPOTENT, ttl=3)
    with Load(producer, channel) as load, contextlib.ExitStack() as stack:
        world.wait(lambda: load.sent > 200)
        new = put(world, channel, 1, unique_name("moved"))
        if fault == "killed":
            old_cluster.kill()
            stack.callback(old_cluster.start)
        else:
            stack.enter_context(old_cluster.writes_hindered())
        world.wait(lambda: moved(producer))
        load.go_on(world, 200)
        stack.close()
    assert producer.flush(30) == 0
    silence = max(b - a for a, b in itertools.pairwise(load.delivered))
    assert silence < 3 + 5 + load.stalls.seconds
    assert producer.counters()["rescued"] > 0
    check(world, load, [old, new], duplicates=True)


def test_what_rescued_messages_carry(world):
    """Headers, timestamps and explicit partitions survive, with and without callbacks."""
    channel = world.channel(0, partitions=3)
    old = world.where[channel]
    producer = world.producer(IDEMPOTENT, **MOVING)
    producer.preload([channel])
    world.clusters[0].kill()
    reports = []
    began = int(time.time() * 1000)
    try:
        for number in range(60):
            producer.produce(
                channel,
                b"%d" % number,
                b"k%d" % (number % 3),
                partition=number % 3,
                headers=[("n", b"%d" % number)] if number % 2 else None,
                timestamp=1_000_000 + number if number % 5 == 0 else 0,
                on_delivery=(lambda e, m: reports.append(e)) if number % 4 == 0 else None,
            )
        new = put(world, channel, 1, unique_name("moved"), partitions=3)
        world.wait(lambda: moved(producer))
    finally:
        world.clusters[0].start()
    ended = int(time.time() * 1000)
    assert producer.flush(30) == 0
    assert world.landed_in(*old) == []
    landed = world.landed_in(*new)
    assert sorted(numbers(landed)) == list(range(60))
    for message in landed:
        number = int(message.value())
        assert message.partition() == number % 3
        assert message.headers() == ([("n", b"%d" % number)] if number % 2 else None)
        if number % 5 == 0:
            assert message.timestamp() == (1, 1_000_000 + number)
        else:
            assert began - 2 <= message.timestamp()[1] <= ended
    check_order(landed)
    assert reports == [None] * 15


def test_a_burst_is_rescued_in_order(world):
    """More than fits into one request, partly in flight, keys spread over partitions."""
    channel = world.channel(0, partitions=4)
    old = world.where[channel]
    producer = world.producer(
        IDEMPOTENT | {"batch.num.messages": 200, "message.timeout.ms": 60_000}, **MOVING
    )
    producer.preload([channel])
    total = 3000
    with world.clusters[0].writes_hindered():
        for number in range(total):
            producer.produce(channel, b"%d" % number, b"k%d" % (number % 7))
        new = put(world, channel, 1, unique_name("moved"), partitions=4)
        world.wait(lambda: producer.counters().get("held"))
        for number in range(total, total + 100):
            producer.produce(channel, b"%d" % number, b"k%d" % (number % 7))
        world.wait(lambda: moved(producer), 40)
    assert producer.flush(30) == 0
    landed = world.landed_in(*new)
    assert {*numbers(landed), *numbers(world.landed_in(*old))} == set(range(total + 100))
    check_order(landed)
