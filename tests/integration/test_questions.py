"""Questions about partitions that do not exist are answered at once, whatever the timeout."""

import threading
import time

import pytest

from kafkaroute import KafkaError, KafkaException, TopicPartition

MISSING = 7


@pytest.fixture
def asked(any_world):
    channel = any_world.channel(partitions=2)
    any_world.write(channel, [b"1", b"2"], partition=0)
    consumer = any_world.consumer([channel])
    any_world.join(consumer, [channel])
    return consumer, channel


def within(seconds, call, *args):
    """What `call` answers or raises; it may take so many seconds."""
    found = []

    def run():
        try:
            found.append(call(*args))
        except KafkaException as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert found, f"no answer within {seconds} s"
    return found[0]


def test_watermarks_of_a_partition_that_does_not_exist(asked):
    consumer, channel = asked
    refused = within(10, consumer.get_watermark_offsets, TopicPartition(channel, MISSING))
    assert refused.args[0].code() == KafkaError._UNKNOWN_PARTITION
    assert within(10, consumer.get_watermark_offsets, TopicPartition(channel, 0)) == (0, 2)
    began = time.monotonic()
    consumer.poll(0)
    assert time.monotonic() - began < 1


def test_times_of_a_partition_that_does_not_exist(asked):
    consumer, channel = asked
    wanted = [TopicPartition(channel, MISSING, 0), TopicPartition(channel, 0, -2)]
    missing, found = within(10, consumer.offsets_for_times, wanted)
    assert missing.error.code() == KafkaError._UNKNOWN_PARTITION
    assert (found.error, found.offset) == (None, 0)
