"""What a Consumer's move depends on beside the place: order, lateness, settings, refusals."""

import time

import confluent_kafka

from kafkaroute import ChannelNotFound, Phase, TopicPartition

from .consumer_load import PARTITIONS, Group, Load, late_producers, move


def test_both_places_are_read_at_once_when_told_so(real_world):
    world = real_world
    channel = world.channel(partitions=PARTITIONS)
    with Group(world, [channel], 2, on_move="overlap", move_window=60.0) as group:
        with Load(world, channel) as load:
            world.wait(lambda: group.read, 30, "messages")
            target = move(world, channel, 1)
            group.await_phase(Phase.LEFT, 2)
            load.go_to(*target)
            time.sleep(0.5)
            load.stop()
            group.await_all(channel, load.sent)
        group.await_phase(Phase.DONE, 2)
    assert Phase.LATE not in group.phases()


def test_what_comes_late_is_delivered(real_world):
    world = real_world
    channel = world.channel(partitions=PARTITIONS)
    with Group(world, [channel], 1, move_window=0.5) as group, Load(world, channel) as load:
        world.wait(lambda: group.read, 30, "messages")
        old = world.where[channel]
        load.stop()
        move(world, channel, 1)
        group.await_phase(Phase.LEFT, 1)
        producer = confluent_kafka.Producer(world.clusters[0].client_config() | {"log_level": 0})
        for number in range(20):
            producer.produce(old[1], str(1000 + number).encode(), "late")
        assert producer.flush(10) == 0
        group.world.wait(lambda: len(group.read[channel, "late"]) == 20, 20, "late messages")
        group.await_phase(Phase.LATE, 1)
        [late] = [event for event in group.events if event.phase is Phase.LATE]
        assert late.count == 20
        assert late.old.topic == old[1]
        group.await_phase(Phase.DONE, 1)


def test_settings_of_the_same_cluster_and_topic_change(real_world):
    """The native consumer is replaced: nothing is read twice, as positions are carried over."""
    world = real_world
    channel = world.channel(partitions=PARTITIONS)
    with Group(world, [channel], 1) as group, Load(world, channel) as load:
        world.wait(lambda: group.read, 30, "messages")
        world.stub.put(
            channel,
            topic=world.where[channel][1],
            connection=world.connection(0),
            configuration={"fetch.min.bytes": 2},
        )
        group.await_phase(Phase.REOPENED, 1)
        time.sleep(1)
        load.stop()
        group.await_all(channel, load.sent)
        assert group.reordered(channel) == []
        assert group.duplicates(channel) == 0
    assert Phase.HELD not in group.phases()


def test_another_name_of_the_same_cluster_is_no_other_cluster(real_world):
    """And a topic that changes together with it is moved to in order."""
    world = real_world
    channel = world.channel(partitions=PARTITIONS)
    with Group(world, [channel], 2) as group, Load(world, channel) as load:
        world.wait(lambda: group.read, 30, "messages")
        topic = world.clusters[0].new_topic(PARTITIONS)
        connection = world.connection(0)
        servers = connection["bootstrap.servers"].replace("127.0.0.1", "localhost")
        world.stub.put(channel, topic=topic, connection=connection | {"bootstrap.servers": servers})
        late_producers(load, (0, topic), group, count=2)
        group.await_phase(Phase.LEFT, 2)
        time.sleep(1)
        load.stop()
        group.await_all(channel, load.sent)
        assert group.reordered(channel) == []
    assert group.phases().count(Phase.REOPENED) == 2


def test_a_joiner_of_another_process_heeds_the_notes(real_world):
    """It shares nothing with the member that holds: no snapshot, no cached history."""
    world = real_world
    channel = world.channel(partitions=PARTITIONS)
    with Group(world, [channel], 1, move_window=4.0) as group, Load(world, channel) as load:
        world.wait(lambda: group.read, 30, "messages")
        target = move(world, channel, 1)
        group.await_phase(Phase.HELD, 1)
        time.sleep(0.7)
        load.go_to(*target)
        group.add("latest", ttl=1.1)
        group.await_phase(Phase.LEFT, 1, 40)
        time.sleep(2)
        load.stop()
        group.await_all(channel, load.sent)
        assert group.reordered(channel) == []


def test_a_refused_channel_stops_or_is_kept(real_world):
    world = real_world
    one, two = world.channel(), world.channel()
    events = []
    with world.consumer(
        [one, two], ttl=1.0, on_revoked="stop", on_route_change=events.append
    ) as consumer:
        world.join(consumer, [one, two])
        place = {"topic": world.where[one][1], "connection": world.connection(0)}
        world.stub.remove(one)
        raised = []

        def poll():
            try:
                return consumer.poll(0.2)
            except ChannelNotFound as error:
                raised.append(error)

        def polled(condition, what):
            found = []
            until = time.monotonic() + 20
            while not condition(found):
                assert time.monotonic() < until, what
                if (message := poll()) is not None:
                    found.append(message.channel())
            return found

        polled(lambda _: len(raised) >= 2, "the error, twice")
        world.write(one, [b"kept"])
        world.write(two, [b"read"])
        assert polled(lambda found: found, "the other channel") == [two]
        world.stub.put(one, **place)
        assert polled(lambda found: one in found, "the channel's return") == [one]
    assert [event.phase for event in events] == [Phase.REVOKED, Phase.RESTORED]


def test_after_a_manual_assignment_nothing_moves_by_itself(real_world):
    world = real_world
    channel = world.channel()
    world.write(channel, [b"old"])
    events = []
    with world.consumer(ttl=1.0, on_route_change=events.append) as consumer:
        consumer.assign([TopicPartition(channel, 0, 0)])
        assert world.read(consumer, 1)[0].value() == b"old"
        move(world, channel, 1)
        world.write(channel, [b"new"], partition=0)
        until = time.monotonic() + 20
        while not events:
            assert consumer.poll(0.1) is None
            assert time.monotonic() < until
        assert [event.phase for event in events] == [Phase.ASSIGN_AGAIN]
        consumer.assign([TopicPartition(channel, 0, 0)])
        assert world.read(consumer, 1)[0].value() == b"new"
