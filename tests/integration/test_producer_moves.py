"""A Producer follows its channels to other topics and clusters: every message counted."""

import pytest

from kafkaroute import Phase
from kafkaroute.testing.cluster import unique_name

from .producer_load import IDEMPOTENT, MOVING, Load, check, moved, put


@pytest.mark.parametrize("callbacks", [True, False], ids=["callbacks", "quiet"])
def test_to_another_cluster(any_world, callbacks):
    world = any_world
    channel = world.channel(0, partitions=2)
    old = world.where[channel]
    events = []
    producer = world.producer(IDEMPOTENT, on_route_change=events.append, **MOVING)
    with Load(producer, channel, callbacks=callbacks) as load:
        world.wait(lambda: load.sent > 200)
        new = put(world, channel, 1, unique_name("moved"))
        world.wait(lambda: moved(producer))
        load.go_on(world, 200)
    assert producer.flush(30) == 0
    assert load.longest < 2 + load.stalls.seconds
    check(world, load, [old, new])
    phases = [event.phase for event in events]
    assert phases[:5] == [Phase.SEEN, Phase.OPENED, Phase.HELD, Phase.DRAINED, Phase.RELEASED]
    assert {(e.channel, e.intent, e.old.topic, e.new.topic) for e in events} == {
        (channel, "produce", old[1], new[1])
    }


def test_to_another_topic(any_world):
    world = any_world
    channel = world.channel(0, partitions=2)
    old = world.where[channel]
    producer = world.producer(IDEMPOTENT, **MOVING)
    with Load(producer, channel) as load:
        world.wait(lambda: load.sent > 100)
        new = put(world, channel, 0, unique_name("moved"))
        world.wait(lambda: moved(producer))
        load.go_on(world, 100)
    assert producer.flush(30) == 0
    check(world, load, [old, new])
    world.wait(lambda: not producer._dispatch.movers)
    assert len(producer._router.clients()) == 1


def test_to_a_topic_of_the_same_name_on_another_cluster(world):
    name = unique_name("same")
    channel = world.channel(0, topic=name, partitions=2)
    producer = world.producer(IDEMPOTENT, **MOVING)
    with Load(producer, channel) as load:
        world.wait(lambda: load.sent > 100)
        put(world, channel, 1, name)
        world.wait(lambda: moved(producer))
        load.go_on(world, 100)
    assert producer.flush(30) == 0
    check(world, load, [(0, name), (1, name)])


def test_another_profile(world):
    """The same topic, sent by a client with other settings."""
    channel = world.channel(0, partitions=2)
    place = world.where[channel]
    producer = world.producer(IDEMPOTENT, **MOVING)
    with Load(producer, channel) as load:
        world.wait(lambda: load.sent > 100)
        put(world, channel, *place, message_timeout_ms=60_000)
        world.wait(lambda: moved(producer))
        load.go_on(world, 100)
    assert producer.flush(30) == 0
    check(world, load, [place])


def test_there_and_back(any_world):
    world = any_world
    channel = world.channel(0, partitions=2)
    places = [world.where[channel]]
    producer = world.producer(IDEMPOTENT, **MOVING)
    with Load(producer, channel) as load:
        for cluster in (1, 0, 1):
            load.go_on(world, 50)
            places.append(put(world, channel, cluster, unique_name("moved")))
            world.wait(lambda: moved(producer, len(places) - 1))
        load.go_on(world, 50)
    assert producer.flush(30) == 0
    check(world, load, places)


def test_one_channel_moves_and_its_neighbour_stays(world):
    here, there = world.channel(0, partitions=2), world.channel(0, partitions=2)
    old, stays = world.where[here], world.where[there]
    producer = world.producer(IDEMPOTENT, **MOVING)
    moving, staying = (Load(producer, channel, callbacks=False) for channel in (here, there))
    with moving, staying:
        world.wait(lambda: min(moving.sent, staying.sent) > 100)
        new = put(world, here, 1, unique_name("moved"))
        world.wait(lambda: moved(producer))
        staying.go_on(world, 100)
    assert producer.flush(30) == 0
    check(world, moving, [old, new])
    check(world, staying, [stays])
