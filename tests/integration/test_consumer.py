"""What a Consumer reads through an HTTP catalog, and how it begins and ends, on both backends."""

import time

import pytest

from kafkaroute import (
    Consumer,
    KafkaError,
    Message,
    TopicPartition,
)
from kafkaroute.testing.cluster import unique_name

from .looking import values


def test_several_channels_on_two_clusters(any_world):
    channels = [any_world.channel(n % 2, partitions=2) for n in range(4)]
    for channel in channels:
        any_world.write(channel, [channel.encode()] * 20, key=b"k")
    consumer = any_world.consumer(channels)
    found = any_world.read(consumer, 80)
    for message in found:
        assert isinstance(message, Message)
        assert message.channel().encode() == message.value()
        assert message.topic() == any_world.where[message.channel()][1]
        assert message.key() == b"k"
        assert message.error() is None
    assert len({(m.channel(), m.partition(), m.offset()) for m in found}) == 80
    any_world.quiet(consumer)


def test_what_a_message_says(world):
    channel = world.channel()
    stamp = 1_700_000_000_123
    world.write(channel, [b"v"], key=b"k", timestamp=stamp, headers=[("a", b"1"), ("b", None)])
    consumer = world.consumer([channel])
    [message] = world.read(consumer, 1)
    assert (message.value(), message.key(), message.offset(), message.partition()) == (
        b"v",
        b"k",
        0,
        0,
    )
    assert message.timestamp() == (1, stamp)
    assert message.headers() == [("a", b"1"), ("b", None)]
    assert len(message) == 1
    assert channel in repr(message)
    assert "'v'" not in repr(message)


def test_values_of_every_kind_are_delivered_as_they_are(any_world):
    channel = any_world.channel()
    kinds = [b"\xff\xfe\x00not utf-8", None, b"", b"null", bytes(range(256)), b"x" * 100_000]
    any_world.write(channel, kinds)
    consumer = any_world.consumer([channel])
    assert values(any_world.read(consumer, len(kinds))) == kinds


def test_channels_with_the_same_last_segment(world):
    bar = world.channel(0, name="kafka://example.com/bar")
    nested = world.channel(0, name="kafka://example.com/baz/bar")
    elsewhere = world.channel(1, name="kafka://example.org/bar")
    for channel in (bar, nested, elsewhere):
        world.write(channel, [channel.encode()] * 5)
    consumer = world.consumer([bar, nested, elsewhere])
    assert all(m.channel().encode() == m.value() for m in world.read(consumer, 15))


def test_produce_and_consume_with_the_same_channel(world):
    channels = [world.channel(0), world.channel(1)]
    producer, consumer = world.producer(), world.consumer(channels)
    for number in range(100):
        producer.produce(channels[number % 2], b"%d" % number)
    assert producer.flush(20) == 0
    found = world.read(consumer, 100)
    for rest, channel in enumerate(channels):
        of_it = [int(m.value()) for m in found if m.channel() == channel]
        assert of_it == list(range(rest, 100, 2))


def test_iteration(world):
    channels = [world.channel(0), world.channel(1)]
    for channel in channels:
        world.write(channel, [b"v"] * 10)
    consumer = world.consumer(channels)
    seen = []
    for message in consumer:
        seen.append(message.channel())
        if len(seen) == 20:
            consumer.close()
    assert sorted(seen) == sorted(channels * 10)


def test_iteration_passes_over_partition_ends(world):
    channel = world.channel()
    world.write(channel, [b"1", b"2"])
    consumer = world.consumer([channel], {"enable.partition.eof": True})
    assert [next(consumer).value(), next(consumer).value()] == [b"1", b"2"]
    world.write(channel, [b"3"])
    assert next(consumer).value() == b"3"


def test_consume_batches(any_world):
    channels = [any_world.channel(0), any_world.channel(1)]
    for channel in channels:
        any_world.write(channel, [b"v"] * 500)
    consumer = any_world.consumer(channels)
    found = []
    until = time.monotonic() + 30
    while len(found) < 1000 and time.monotonic() < until:
        batch = consumer.consume(300, 1)
        assert len(batch) <= 300
        found += batch
    assert len({(m.channel(), m.offset()) for m in found}) == 1000
    began = time.monotonic()
    assert consumer.consume(10, 0.3) == []
    assert 0.25 < time.monotonic() - began < 10


def test_consume_waits_for_the_number_or_the_time(world):
    channel = world.channel()
    world.write(channel, [b"v"] * 3)
    consumer = world.consumer([channel])
    world.read(consumer, 3)
    world.write(channel, [b"v"] * 3)
    began = time.monotonic()
    assert len(consumer.consume(3, 20)) == 3
    assert time.monotonic() - began < 10


def test_partition_ends_are_events_with_a_channel(world):
    channels = [world.channel(0), world.channel(1)]
    world.write(channels[0], [b"v"])
    consumer = world.consumer(channels, {"enable.partition.eof": True})
    ends, until = set(), time.monotonic() + 30
    while len(ends) < 2 and time.monotonic() < until:
        message = consumer.poll(0.2)
        if message is not None and message.error() is not None:
            assert message.error().code() == KafkaError._PARTITION_EOF
            ends.add((message.channel(), message.partition(), message.offset()))
    assert ends == {(channels[0], 0, 1), (channels[1], 0, 0)}


def test_after_close(world):
    channel = world.channel()
    consumer = world.consumer([channel])
    consumer.close()
    consumer.close()
    tp = TopicPartition(channel, 0, 0)
    for call in (
        lambda: consumer.poll(0),
        lambda: consumer.consume(1, 0),
        lambda: consumer.subscribe([channel]),
        lambda: consumer.commit(offsets=[tp]),
        lambda: consumer.assignment(),
        lambda: consumer.seek(tp),
        lambda: consumer.memberid(),
    ):
        with pytest.raises(RuntimeError):
            call()


def test_the_context_manager_leaves_the_group(real_world):
    """The next member gets everything at once, not after a session timeout."""
    channels = [real_world.channel(0), real_world.channel(1)]
    group = unique_name("g")
    with Consumer(
        real_world.settings({"group.id": group, "auto.offset.reset": "earliest"})
    ) as first:
        first.subscribe(channels)
        real_world.join(first, channels)
    second = real_world.consumer(channels, group=group)
    began = time.monotonic()
    real_world.join(second, channels)
    assert time.monotonic() - began < 15
