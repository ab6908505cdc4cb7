"""Rebalances and subscriptions of a Consumer, on both backends."""

import threading
import time

import pytest

from kafkaroute import (
    OFFSET_INVALID,
    ChannelNotFound,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from kafkaroute.testing.cluster import unique_name

from .looking import code_of, values


def test_rebalance_callbacks(any_world):
    channels = [any_world.channel(0, partitions=2), any_world.channel(1)]
    calls = []

    def note(kind):
        def callback(who, parts):
            calls.append(
                (
                    kind,
                    who is consumer,
                    threading.get_ident(),
                    {(p.channel, p.topic, p.partition) for p in parts},
                )
            )

        return callback

    consumer = any_world.consumer()
    consumer.subscribe(channels, note("assign"), note("revoke"), note("lost"))
    any_world.join(consumer, channels)
    any_world.wait(lambda: (consumer.poll(0.1), len(calls) == 2)[1])
    expected = [
        {(channels[0], any_world.where[channels[0]][1], n) for n in (0, 1)},
        {(channels[1], any_world.where[channels[1]][1], 0)},
    ]
    assert {call[:3] for call in calls} == {("assign", True, threading.get_ident())}
    assert sorted(map(sorted, (call[3] for call in calls))) == sorted(map(sorted, expected))
    calls.clear()
    consumer.close()
    assert {call[:3] for call in calls} == {("revoke", True, threading.get_ident())}
    assert sorted(map(sorted, (call[3] for call in calls))) == sorted(map(sorted, expected))


def test_callbacks_run_on_whichever_thread_polls(world):
    channel = world.channel()
    threads = []
    consumer = world.consumer()
    consumer.subscribe([channel], on_assign=lambda *_: threads.append(threading.get_ident()))

    def poll():
        until = time.monotonic() + 20
        while not threads and time.monotonic() < until:
            consumer.poll(0.1)

    thread = threading.Thread(target=poll)
    thread.start()
    identity = thread.ident
    thread.join(30)
    assert threads == [identity]


def test_calls_inside_the_callbacks(world, pair):
    """Where to start, chosen in on_assign; a commit in on_revoke: each on its own cluster."""
    here, there = pair
    for channel in pair:
        world.write(channel, [b"%d" % n for n in range(5)])
    group = unique_name("g")

    def on_assign(who, parts):
        for part in parts:
            assert who.committed([part], timeout=10)[0].offset == OFFSET_INVALID
            part.offset = 4 if part.channel == here else 2
        who.assign(parts)

    def on_revoke(who, parts):
        who.commit(
            offsets=[TopicPartition(p.channel, p.partition, 1) for p in parts], asynchronous=False
        )

    consumer = world.consumer(client_config={"enable.auto.commit": False}, group=group)
    consumer.subscribe([here, there], on_assign, on_revoke)
    found = world.read(consumer, 4)
    assert sorted((m.channel(), m.value()) for m in found) == sorted(
        [(here, b"4"), (there, b"2"), (there, b"3"), (there, b"4")]
    )
    consumer.close()
    assert world.committed(here, group) == {0: 1}
    assert world.committed(there, group) == {0: 1}


def test_an_exception_in_a_callback_reaches_the_caller(world):
    channel = world.channel()
    world.write(channel, [b"v"] * 3)
    raised = []

    def on_assign(who, parts):
        if not raised:
            raised.append(1)
            raise RuntimeError("from the application")

    consumer = world.consumer()
    consumer.subscribe([channel], on_assign)
    with pytest.raises(RuntimeError, match="from the application"):
        world.read(consumer, 3)
    assert values(world.read(consumer, 3)) == [b"v"] * 3


def test_partitions_move_between_two_members(real_world):
    """Every message once, while a second member joins and leaves."""
    channels = [real_world.channel(0, partitions=4), real_world.channel(1, partitions=4)]
    for channel in channels:
        for partition in range(4):
            real_world.write(channel, [b"v"] * 50, partition=partition)
    group = unique_name("g")
    first = real_world.consumer(channels, {"enable.auto.commit": False}, group=group)
    found = real_world.join(first, channels)
    second = real_world.consumer(channels, {"enable.auto.commit": False}, group=group)
    until = time.monotonic() + 45
    while time.monotonic() < until:
        for each in (first, second):
            if (message := each.poll(0.05)) is not None:
                assert message.error() is None
                found.append(message)
        mine, yours = len(first.assignment()), len(second.assignment())
        seen = {(m.channel(), m.partition(), m.offset()) for m in found}
        if (mine, yours) == (4, 4) and len(seen) == 400:
            break
    assert (mine, yours, len(seen)) == (4, 4, 400)
    second.close()
    real_world.wait(lambda: (first.poll(0.1), len(first.assignment()) == 8)[1], 45)


def test_subscribing_to_other_channels(real_world):
    first, second, third = real_world.channel(0), real_world.channel(0), real_world.channel(1)
    for channel in (first, second, third):
        real_world.write(channel, [b"v"] * 5)
    consumer = real_world.consumer([first])
    assert {m.channel() for m in real_world.read(consumer, 5)} == {first}
    consumer.subscribe([second, third])
    assert {m.channel() for m in real_world.read(consumer, 10)} == {second, third}
    real_world.write(first, [b"v"])
    real_world.quiet(consumer, 0.5)
    consumer.subscribe([first])
    assert [m.channel() for m in real_world.read(consumer, 1)] == [first]


def test_unsubscribe(real_world):
    channels = [real_world.channel(0), real_world.channel(1)]
    revoked = []
    consumer = real_world.consumer()
    consumer.subscribe(channels, on_revoke=lambda _, parts: revoked.extend(parts))
    real_world.join(consumer, channels)
    consumer.unsubscribe()
    real_world.wait(lambda: (consumer.poll(0.1), len(revoked) == 2)[1])
    assert {p.channel for p in revoked} == set(channels)
    for channel in channels:
        real_world.write(channel, [b"v"])
    real_world.quiet(consumer, 0.5)
    consumer.subscribe(channels)
    assert {m.channel() for m in real_world.read(consumer, 2)} == set(channels)


def test_an_unknown_channel_leaves_the_subscription(world):
    channel = world.channel()
    world.write(channel, [b"v"])
    consumer = world.consumer([channel])
    with pytest.raises(ChannelNotFound, match=r"kafka://example\.com/unknown"):
        consumer.subscribe([channel, "kafka://example.com/unknown"])
    assert values(world.read(consumer, 1)) == [b"v"]


def test_a_group_is_required(world):
    channel = world.channel()
    with Consumer(world.settings({"auto.offset.reset": "earliest"})) as consumer:
        with pytest.raises(KafkaException) as caught:
            consumer.subscribe([channel])
        assert code_of(caught) == KafkaError._INVALID_ARG
        assert "group.id" in str(caught.value)


def test_the_catalog_may_name_the_group(world):
    channel = world.channel(group_id=unique_name("g"), auto_offset_reset="earliest")
    world.write(channel, [b"v"])
    with Consumer(world.settings()) as consumer:
        consumer.subscribe([channel])
        assert values(world.read(consumer, 1)) == [b"v"]


def test_questions_about_a_cluster(real_world):
    here, there = real_world.channel(0), real_world.channel(1)
    consumer = real_world.consumer([here])
    real_world.join(consumer, [here])
    assert consumer.list_topics(timeout=10).cluster_id == real_world.clusters[0].cluster_id
    assert consumer.memberid()
    assert consumer.consumer_group_metadata().cluster_id() == real_world.clusters[0].cluster_id
    consumer.subscribe([here, there])
    real_world.join(consumer, [here, there])
    for call in (consumer.list_topics, consumer.memberid, consumer.consumer_group_metadata):
        with pytest.raises(KafkaException, match="needs a channel"):
            call()
    asked = consumer.list_topics(there, timeout=10)
    assert asked.cluster_id == real_world.clusters[1].cluster_id
    assert set(asked.topics) == {real_world.where[there][1]}
    assert consumer.memberid(here)
    assert consumer.memberid(there)
    assert consumer.memberid(here) != consumer.memberid(there)
