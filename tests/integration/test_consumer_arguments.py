"""Numbers and timeouts of a Consumer's calls: refused by name, or taken, alike on every backend."""

from __future__ import annotations

import time

import pytest

from kafkaroute import TopicPartition

NAN = float("nan")
LIMITLESS = [None, -1, -2, float("-inf"), float("inf"), 1e300, 1e10, 2**70]


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 1.5, NAN, "1", None])
def test_offsets_that_no_partition_has(value):
    with pytest.raises((TypeError, ValueError), match="offset"):
        TopicPartition("kafka://example.com/c", 0, value)


@pytest.mark.parametrize("value", [2**31, 2**40, 1.5, NAN, "1", None])
def test_partitions_that_no_topic_has(value):
    with pytest.raises((TypeError, ValueError), match="partition"):
        TopicPartition("kafka://example.com/c", value)


@pytest.fixture
def asked(world):
    """A Consumer, its channel, and calls with a timeout that are answered at once."""
    channel = world.channel()
    world.write(channel, [b"1"])
    consumer = world.consumer([channel])
    world.join(consumer, [channel])
    one = TopicPartition(channel, 0, 0)
    return consumer, {
        "committed": lambda timeout: consumer.committed([one], timeout=timeout),
        "get_watermark_offsets": lambda timeout: consumer.get_watermark_offsets(one, timeout),
        "offsets_for_times": lambda timeout: consumer.offsets_for_times([one], timeout=timeout),
        "list_topics": lambda timeout: consumer.list_topics(channel, timeout=timeout),
    }


def test_timeouts_that_are_none(asked):
    consumer, calls = asked
    for call in (*calls.values(), consumer.poll, lambda timeout: consumer.consume(1, timeout)):
        for value in (NAN, "1", b"1", [1]):
            with pytest.raises((TypeError, ValueError), match="timeout"):
                call(value)


def test_timeouts_without_a_limit(asked):
    _, calls = asked
    for name, call in calls.items():
        for value in LIMITLESS:
            began = time.monotonic()
            assert call(value) is not None, (name, value)
            assert time.monotonic() - began < 10, (name, value)


@pytest.mark.parametrize("value", [NAN, "1", b"1", [1]])
def test_timeouts_of_a_producer_that_are_none(world, value):
    channel = world.channel()
    producer = world.producer()
    producer.produce(channel, b"1")
    for call in (
        *(producer.poll, producer.flush, producer.close),
        lambda timeout: producer.list_topics(channel, timeout),
    ):
        with pytest.raises((TypeError, ValueError), match="timeout"):
            call(value)
    assert producer.flush(10) == 0


def test_timeouts_of_a_producer_without_a_limit(world):
    channel = world.channel()
    producer = world.producer()
    for value in LIMITLESS:
        told = []
        producer.produce(channel, b"1", on_delivery=lambda error, _, told=told: told.append(error))
        assert producer.poll(value) == 1
        assert told == [None]
        producer.produce(channel, b"2")
        assert producer.flush(value) == 0
        assert producer.list_topics(channel, value).topics
