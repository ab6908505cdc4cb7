"""Commits, stored offsets, positions, seek() and assign() of a Consumer, on both backends."""

import pytest

from kafkaroute import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from kafkaroute.testing.cluster import unique_name

from .looking import code_of, values


def test_commit_of_a_message_though_topics_are_named_alike(world, pair):
    here, there = pair
    world.write(here, [b"h"] * 5)
    world.write(there, [b"t"] * 8)
    group = unique_name("g")
    consumer = world.consumer([here, there], {"enable.auto.commit": False}, group=group)
    found = world.read(consumer, 13)
    last_there = [m for m in found if m.channel() == there][-1]
    [done] = consumer.commit(message=last_there, asynchronous=False)
    assert (done.channel, done.partition, done.offset, done.error) == (there, 0, 8, None)
    assert world.committed(there, group) == {0: 8}
    assert world.committed(here, group) == {}
    first_here = next(m for m in found if m.channel() == here)
    assert consumer.commit(first_here) is None
    world.wait(lambda: world.committed(here, group) == {0: 1})


def test_a_bare_topic_that_could_mean_two_clusters(world, pair):
    here, there = pair
    for channel in pair:
        world.write(channel, [b"v"] * 5)
    group = unique_name("g")
    consumer = world.consumer(list(pair), {"enable.auto.commit": False}, group=group)
    world.read(consumer, 10)
    topic = world.where[here][1]
    bare = TopicPartition(topic, 0, 3)
    for call in (
        lambda: consumer.commit(offsets=[bare], asynchronous=False),
        lambda: consumer.committed([bare], timeout=10),
        lambda: consumer.position([bare]),
        lambda: consumer.seek(bare),
        lambda: consumer.pause([bare]),
        lambda: consumer.get_watermark_offsets(bare, timeout=10),
    ):
        with pytest.raises(KafkaException) as caught:
            call()
        assert code_of(caught) == KafkaError._INVALID_ARG
        assert here in str(caught.value)
        assert there in str(caught.value)
    assert world.committed(here, group) == {}
    assert world.committed(there, group) == {}
    consumer.commit(
        offsets=[
            TopicPartition(here, 0, 2),
            TopicPartition(topic, 0, 4, channel=there),
        ],
        asynchronous=False,
    )
    assert world.committed(here, group) == {0: 2}
    assert world.committed(there, group) == {0: 4}


def test_a_bare_topic_of_one_cluster_is_enough(world):
    here, there = world.channel(0), world.channel(1)
    for channel in (here, there):
        world.write(channel, [b"v"] * 5)
    group = unique_name("g")
    consumer = world.consumer([here, there], {"enable.auto.commit": False}, group=group)
    world.read(consumer, 10)
    topic = world.where[there][1]
    [done] = consumer.commit(offsets=[TopicPartition(topic, 0, 4)], asynchronous=False)
    assert done.channel == there
    assert world.committed(there, group) == {0: 4}


def test_a_message_of_a_cluster_left_behind_is_committed_nowhere(world, pair):
    here, there = pair
    for channel in pair:
        world.write(channel, [b"v"] * 5)
    group = unique_name("g")
    consumer = world.consumer([here], {"enable.auto.commit": False}, group=group)
    last = world.read(consumer, 5)[-1]
    consumer.subscribe([there])
    world.read(consumer, 1)
    with pytest.raises(KafkaException) as caught:
        consumer.commit(message=last, asynchronous=False)
    assert code_of(caught) == KafkaError._STATE
    assert world.committed(there, group) == {}


def test_commit_of_everything_stored(any_world):
    channels = [any_world.channel(0), any_world.channel(1)]
    group = unique_name("g")
    consumer = any_world.consumer(channels, {"enable.auto.commit": False}, group=group)
    any_world.join(consumer, channels)
    with pytest.raises(KafkaException) as caught:
        consumer.commit(asynchronous=False)
    assert code_of(caught) == KafkaError._NO_OFFSET
    for channel in channels:
        any_world.write(channel, [b"v"] * 4)
    any_world.read(consumer, 8)
    done = consumer.commit(asynchronous=False)
    assert {(p.channel, p.partition, p.offset) for p in done} == {(c, 0, 4) for c in channels}
    for channel in channels:
        assert any_world.committed(channel, group) == {0: 4}


def test_auto_commit_commits_what_was_delivered_and_no_more(any_world):
    channels = [any_world.channel(0), any_world.channel(1)]
    for channel in channels:
        any_world.write(channel, [b"%d" % n for n in range(200)])
    group = unique_name("g")
    consumer = any_world.consumer(channels, group=group)
    found = any_world.read(consumer, 150)
    consumer.close()
    counts = {channel: sum(m.channel() == channel for m in found) for channel in channels}
    for channel in channels:
        assert any_world.committed(channel, group).get(0, 0) == counts[channel]


def test_the_next_member_goes_on_where_the_last_one_ended(real_world):
    channels = [real_world.channel(0), real_world.channel(1)]
    for channel in channels:
        real_world.write(channel, [b"%d" % n for n in range(200)])
    group = unique_name("g")
    found = []
    for count in (150, 1, 249):
        consumer = real_world.consumer(channels, group=group)
        found += real_world.read(consumer, count)
        consumer.close()
    assert len({(m.channel(), m.offset()) for m in found}) == 400


def test_store_offsets(world):
    channels = [world.channel(0), world.channel(1)]
    for channel in channels:
        world.write(channel, [b"v"] * 5)
    group = unique_name("g")
    config = {"enable.auto.offset.store": False, "enable.auto.commit": False}
    consumer = world.consumer(channels, config, group=group)
    found = world.read(consumer, 10)
    third = [m for m in found if m.channel() == channels[0]][2]
    consumer.store_offsets(third)
    consumer.store_offsets(offsets=[TopicPartition(channels[1], 0, 1)])
    consumer.commit(asynchronous=False)
    assert world.committed(channels[0], group) == {0: 3}
    assert world.committed(channels[1], group) == {0: 1}


def test_store_offsets_needs_its_setting(world):
    channel = world.channel()
    world.write(channel, [b"v"])
    consumer = world.consumer([channel])
    [message] = world.read(consumer, 1)
    with pytest.raises(KafkaException) as caught:
        consumer.store_offsets(message)
    assert code_of(caught) == KafkaError._INVALID_ARG


def test_an_event_cannot_be_committed(world):
    channel = world.channel()
    consumer = world.consumer([channel], {"enable.partition.eof": True})
    [event] = world.wait(lambda: consumer.consume(1, 0.2), 30)
    assert event.error().code() == KafkaError._PARTITION_EOF
    with pytest.raises(KafkaException) as caught:
        consumer.commit(message=event)
    assert code_of(caught) == KafkaError._INVALID_ARG


def test_committed_position_watermarks(any_world):
    channels = [any_world.channel(0, partitions=2), any_world.channel(1)]
    any_world.write(channels[0], [b"v"] * 6, partition=1)
    any_world.write(channels[1], [b"v"] * 9)
    consumer = any_world.consumer(channels, {"enable.auto.commit": False})
    any_world.read(consumer, 15)
    parts = [
        TopicPartition(channels[1], 0),
        TopicPartition(channels[0], 0),
        TopicPartition(channels[0], 1),
    ]
    positions = consumer.position(parts)
    assert [(p.channel, p.partition) for p in positions] == [
        (p.channel, p.partition) for p in parts
    ]
    assert (positions[0].offset, positions[2].offset) == (9, 6)
    assert positions[1].offset == OFFSET_INVALID
    assert {p.offset for p in consumer.committed(parts, timeout=10)} == {OFFSET_INVALID}
    consumer.commit(asynchronous=False)
    committed = consumer.committed(parts, timeout=10)
    assert [p.offset for p in committed] == [9, OFFSET_INVALID, 6]
    assert [p.channel for p in committed] == [p.channel for p in parts]
    assert consumer.get_watermark_offsets(parts[0], timeout=10) == (0, 9)
    assert consumer.get_watermark_offsets(parts[2], timeout=10) == (0, 6)


def test_offsets_for_times(real_world):
    channels = [real_world.channel(0), real_world.channel(1)]
    base = 1_700_000_000_000
    for channel in channels:
        for number in range(5):
            real_world.write(channel, [b"v"], timestamp=base + 1000 * number)
    consumer = real_world.consumer(channels)
    real_world.read(consumer, 10)
    asked = [
        TopicPartition(channels[1], 0, base + 2500),
        TopicPartition(channels[0], 0, base + 9999),
    ]
    found = consumer.offsets_for_times(asked, timeout=10)
    assert [(p.channel, p.offset) for p in found] == [(channels[1], 3), (channels[0], OFFSET_END)]


def test_seek(any_world):
    channels = [any_world.channel(0), any_world.channel(1)]
    for channel in channels:
        any_world.write(channel, [b"%d" % n for n in range(5)])
    consumer = any_world.consumer(channels)
    any_world.read(consumer, 10)
    consumer.seek(TopicPartition(channels[1], 0, 3))
    assert [(m.channel(), m.value()) for m in any_world.read(consumer, 2)] == [
        (channels[1], b"3"),
        (channels[1], b"4"),
    ]
    consumer.seek(TopicPartition(channels[0], 0, OFFSET_BEGINNING))
    again = any_world.read(consumer, 5)
    assert [(m.channel(), m.value()) for m in again] == [(channels[0], b"%d" % n) for n in range(5)]
    any_world.quiet(consumer, 0.5)


def test_pause_and_resume(any_world):
    channels = [any_world.channel(0), any_world.channel(1)]
    consumer = any_world.consumer(channels)
    any_world.join(consumer, channels)
    paused = [p for p in consumer.assignment() if p.channel == channels[0]]
    consumer.pause(paused)
    for channel in channels:
        any_world.write(channel, [b"v"] * 5)
    assert {m.channel() for m in any_world.read(consumer, 5)} == {channels[1]}
    any_world.quiet(consumer, 0.7)
    consumer.resume(paused)
    assert {m.channel() for m in any_world.read(consumer, 5)} == {channels[0]}


# Assignment.


def test_manual_assignment_on_two_clusters(any_world):
    channels = [any_world.channel(0, partitions=2), any_world.channel(1)]
    for partition in (0, 1):
        any_world.write(
            channels[0], [b"%d-%d" % (partition, n) for n in range(5)], partition=partition
        )
    any_world.write(channels[1], [b"b-%d" % n for n in range(5)])
    consumer = any_world.consumer()
    consumer.assign([TopicPartition(channels[0], 1, 3), TopicPartition(channels[1], 0, 2)])
    assert sorted(values(any_world.read(consumer, 5))) == [b"1-3", b"1-4", b"b-2", b"b-3", b"b-4"]
    assert {(p.channel, p.partition) for p in consumer.assignment()} == {
        (channels[0], 1),
        (channels[1], 0),
    }
    consumer.incremental_assign([TopicPartition(channels[0], 0, 0)])
    assert values(any_world.read(consumer, 5)) == [b"0-%d" % n for n in range(5)]
    consumer.incremental_unassign([TopicPartition(channels[1], 0)])
    assert {(p.channel, p.partition) for p in consumer.assignment()} == {
        (channels[0], 0),
        (channels[0], 1),
    }
    any_world.write(channels[1], [b"unread"])
    any_world.quiet(consumer, 0.5)
    consumer.unassign()
    assert consumer.assignment() == []
