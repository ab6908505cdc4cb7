"""The Producer's public calls through an HTTP catalog, on both backends."""

import statistics
import threading
import time

import confluent_kafka
import pytest

from kafkaroute import (
    ChannelNotFound,
    ClosedError,
    ConfigurationError,
    KafkaError,
    KafkaException,
    Message,
    Producer,
)
from kafkaroute.testing.cluster import unique_name

from .looking import values


def test_produce_deliver_read_back(any_world):
    channel = any_world.channel(partitions=4)
    producer = any_world.producer()
    reports = []
    now = int(time.time() * 1000)
    for number in range(50):
        producer.produce(
            channel,
            value=b"v%d" % number,
            key=b"k%d" % (number % 7),
            headers=[("n", b"%d" % number), ("none", None)],
            timestamp=now - 5000 + number,
            on_delivery=lambda error, message: reports.append((error, message)),
        )
    assert producer.flush(30) == 0
    assert len(reports) == 50
    assert {error for error, _ in reports} == {None}
    landed = any_world.landed(channel)
    assert sorted(values(landed)) == sorted(b"v%d" % n for n in range(50))
    assert {m.timestamp() for m in landed} == {(1, now - 5000 + n) for n in range(50)}
    by_key = {}
    for message in landed:
        by_key.setdefault(message.key(), set()).add(message.partition())
        number = int(message.value()[1:])
        assert message.headers() == [("n", b"%d" % number), ("none", None)]
    assert all(len(partitions) == 1 for partitions in by_key.values())
    assert {(m.partition(), m.offset()) for _, m in reports} == {
        (m.partition(), m.offset()) for m in landed
    }


def test_what_a_report_says(world):
    channel = world.channel()
    producer = world.producer()
    reports = []
    producer.produce(channel, b"v", b"k", on_delivery=lambda *report: reports.append(report))
    producer.flush(20)
    [(error, message)] = reports
    assert error is None
    assert isinstance(message, Message)
    assert (message.topic(), message.partition(), message.offset()) == (
        world.where[channel][1],
        0,
        0,
    )
    assert (message.key(), message.value(), message.error()) == (b"k", b"v", None)
    assert 0 <= message.latency() < 20


def test_str_none_and_empty(world):
    channel = world.channel()
    producer = world.producer()
    for value, key in (("grün", "ä"), (None, b"tombstone"), (b"", b""), (None, None)):
        producer.produce(channel, value, key)
    assert producer.flush(20) == 0
    assert [(m.value(), m.key()) for m in world.landed(channel)] == [
        ("grün".encode(), "ä".encode()),
        (None, b"tombstone"),
        (b"", b""),
        (None, None),
    ]


def test_partition_is_obeyed(world):
    channel = world.channel(partitions=3)
    producer = world.producer()
    for partition in (2, 0, 1, 2):
        producer.produce(channel, b"%d" % partition, b"same key", partition=partition)
    assert producer.flush(20) == 0
    assert [(m.partition(), m.value()) for m in world.landed(channel)] == [
        (0, b"0"),
        (1, b"1"),
        (2, b"2"),
        (2, b"2"),
    ]


def test_both_backends_put_a_key_on_the_same_partition(world):
    """Compared with the bare confluent client, whose defaults are the canon."""
    keys = [b"key-%d" % n for n in range(100)]
    ours, canon = world.channel(partitions=12), world.channel(partitions=12)
    producer = world.producer()
    for key in keys:
        producer.produce(ours, b"v", key)
    assert producer.flush(20) == 0
    config, topic = world.raw(canon)
    bare = confluent_kafka.Producer(config)
    for key in keys:
        bare.produce(topic, b"v", key)
    assert bare.flush(20) == 0
    assert {m.key(): m.partition() for m in world.landed(ours)} == {
        m.key(): m.partition() for m in world.landed(canon)
    }


@pytest.mark.parametrize("name", ["callback", "on_delivery"])
def test_callbacks_run_in_poll_on_the_callers_thread(world, name):
    channel = world.channel()
    producer = world.producer()
    seen = []
    producer.produce(channel, b"v", **{name: lambda *_: seen.append(threading.get_ident())})
    time.sleep(0.5)
    assert seen == []
    world.wait(lambda: producer.poll(0.1))
    assert seen == [threading.get_ident()]


def test_poll_returns_at_the_first_event(world):
    channel = world.channel()
    producer = world.producer({"linger.ms": 200})
    producer.produce(channel, b"v", on_delivery=lambda *_: None)
    began = time.monotonic()
    assert producer.poll(20) == 1
    assert time.monotonic() - began < 10


def test_len_counts_what_is_not_reported(world):
    channel = world.channel()
    producer = world.producer({"linger.ms": 500})
    assert len(producer) == 0
    for _ in range(3):
        producer.produce(channel, b"v", on_delivery=lambda *_: None)
    assert len(producer) == 3
    assert producer.flush(20) == 0
    assert len(producer) == 0


def test_handles_and_produce_keep_one_order(world):
    channel = world.channel()
    producer = world.producer()
    handle = producer.channel(channel)
    for number in range(100):
        if number % 2:
            handle.produce(b"%d" % number, b"k")
        else:
            producer.produce(channel, b"%d" % number, b"k")
    assert producer.flush(20) == 0
    assert values(world.landed(channel)) == [b"%d" % n for n in range(100)]


def test_preload(world):
    channels = [world.channel(n % 2) for n in range(6)]
    producer = world.producer()
    producer.preload(channels)
    asked = len(world.stub.requests)
    assert asked == 6
    for channel in channels:
        producer.produce(channel, b"v")
    assert producer.flush(20) == 0
    assert len(world.stub.requests) == asked
    assert all(values(world.landed(channel)) == [b"v"] for channel in channels)


def test_two_clusters_in_one_producer(any_world):
    """Each channel lands on its own cluster, although the topics have one name."""
    topic = unique_name("orders")
    here = any_world.channel(0, topic=topic, name="kafka://example.com/here/orders")
    there = any_world.channel(1, topic=topic, name="kafka://example.com/there/orders")
    producer = any_world.producer()
    for number in range(300):
        producer.produce(here if number % 3 else there, b"%d" % number)
    assert producer.flush(30) == 0
    assert values(any_world.landed(here)) == [b"%d" % n for n in range(300) if n % 3]
    assert values(any_world.landed(there)) == [b"%d" % n for n in range(300) if not n % 3]


def test_a_full_queue(world):
    channel = world.dead_channel()
    producer = world.producer({"queue.buffering.max.messages": 10, "message.timeout.ms": 60000})
    for _ in range(10):
        producer.produce(channel, b"v")
    with pytest.raises(BufferError):
        producer.produce(channel, b"v")
    # confluent-kafka counts its own error events, too.
    assert len(producer) >= 10
    producer.purge()
    world.wait(lambda: (producer.poll(0.1), len(producer) == 0)[1])


def test_purge_reports_what_it_failed(world):
    channel = world.dead_channel()
    producer = world.producer()
    codes = []
    for _ in range(5):
        producer.produce(channel, b"v", on_delivery=lambda error, _: codes.append(error.code()))
    producer.purge()
    assert producer.flush(10) == 0
    assert codes == [KafkaError._PURGE_QUEUE] * 5


def test_what_cannot_be_delivered_is_reported(world):
    channel = world.dead_channel()
    producer = world.producer({"message.timeout.ms": 500})
    reports = []
    producer.produce(channel, b"v", b"k", on_delivery=lambda *report: reports.append(report))
    assert producer.flush(20) == 0
    [(error, message)] = reports
    assert error.code() == KafkaError._MSG_TIMED_OUT
    assert isinstance(error, KafkaError)
    assert (message.key(), message.value()) == (b"k", b"v")


def test_an_unreachable_cluster_does_not_hold_up_the_other(world):
    dead, live = world.dead_channel(), world.channel()
    producer = world.producer({"message.timeout.ms": 60000})
    delivered = []
    producer.produce(dead, b"v")
    for _ in range(50):
        producer.produce(live, b"v", on_delivery=lambda *_: delivered.append(1))
    began = time.monotonic()
    assert producer.flush(4) == 1
    assert 3.5 < time.monotonic() - began < 20
    assert len(delivered) == 50
    began = time.monotonic()
    assert producer.close(0.5) == 1
    assert time.monotonic() - began < 20


def test_producing_to_an_unreachable_cluster_never_waits(world):
    channel = world.dead_channel()
    producer = world.producer()
    producer.produce(channel, b"v")
    waits = []
    for _ in range(200):
        began = time.monotonic()
        producer.produce(channel, b"v")
        producer.poll(0)
        waits.append(time.monotonic() - began)
    assert statistics.median(waits) < 0.05, waits
    assert max(waits) < 10
    assert producer.close(0) == 201


def test_too_large(world):
    channel = world.channel()
    producer = world.producer({"message.max.bytes": 2000})
    with pytest.raises(KafkaException) as caught:
        producer.produce(channel, b"v" * 3000)
    assert caught.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
    producer.produce(channel, b"v" * 1000)
    assert producer.flush(20) == 0


def test_list_topics(any_world):
    here, there = any_world.channel(0, partitions=3), any_world.channel(1)
    producer = any_world.producer()
    with pytest.raises(ConfigurationError, match="not 0"):
        producer.list_topics()
    one = producer.list_topics(here, timeout=20)
    assert one.cluster_id == any_world.clusters[0].cluster_id
    assert set(one.topics) == {any_world.where[here][1]}
    assert set(one.topics[any_world.where[here][1]].partitions) == {0, 1, 2}
    assert any_world.where[here][1] in producer.list_topics(timeout=20).topics
    assert producer.list_topics(there, timeout=20).cluster_id == any_world.clusters[1].cluster_id
    with pytest.raises(ConfigurationError, match="not 2"):
        producer.list_topics()


def test_the_context_manager_delivers(world):
    channel = world.channel()
    with Producer(world.settings({"linger.ms": 1000})) as producer:
        producer.produce(channel, b"v")
    assert values(world.landed(channel)) == [b"v"]
    with pytest.raises(ClosedError):
        producer.produce(channel, b"v")


def test_a_mistake_inside_the_context_manager_still_delivers(world):
    channel = world.channel()
    with pytest.raises(ZeroDivisionError), Producer(world.settings()) as producer:
        producer.produce(channel, b"v")
        raise ZeroDivisionError
    assert values(world.landed(channel)) == [b"v"]


def test_after_close(world):
    channel = world.channel()
    producer = world.producer()
    handle = producer.channel(channel)
    handle.produce(b"v")
    assert producer.close() == 0
    assert producer.close() == 0
    for call in (
        lambda: producer.produce(channel, b"v"),
        lambda: handle.produce(b"v"),
        lambda: producer.list_topics(channel),
        lambda: producer.preload([channel]),
        producer.begin_transaction,
    ):
        with pytest.raises(ClosedError):
            call()
    assert (producer.poll(0), producer.flush(0), len(producer)) == (0, 0, 0)


def test_a_setting_the_catalog_gets_wrong_is_named(world):
    channel = world.channel(no_such_setting=1)
    producer = world.producer()
    with pytest.raises((KafkaException, ConfigurationError), match=r"no\.such\.setting"):
        producer.produce(channel, b"v")


def test_an_unknown_channel_harms_no_other(world):
    channel = world.channel()
    producer = world.producer()
    producer.produce(channel, b"1")
    with pytest.raises(ChannelNotFound, match=r"kafka://example\.com/unknown"):
        producer.produce("kafka://example.com/unknown", b"v")
    producer.produce(channel, b"2")
    assert producer.flush(20) == 0
    assert values(world.landed(channel)) == [b"1", b"2"]


def test_a_callback_that_produces(world):
    first, second = world.channel(0), world.channel(1)
    producer = world.producer()
    producer.produce(first, b"1", on_delivery=lambda *_: producer.produce(second, b"2"))
    assert producer.flush(20) == 0
    assert values(world.landed(second)) == [b"2"]


def test_a_callback_that_raises(world):
    def fail(*_):
        raise RuntimeError("from the application")

    channel = world.channel()
    producer = world.producer()
    producer.produce(channel, b"v", on_delivery=fail)
    with pytest.raises(RuntimeError, match="from the application"):
        producer.flush(20)
    producer.produce(channel, b"w")
    assert producer.flush(20) == 0
