"""The Consumer over fake native consumers: what is subscribed and read from whom."""

import threading
import time

import pytest

from kafkaroute import (
    ChannelInvalid,
    ChannelNotFound,
    ConfigurationError,
    Consumer,
    KafkaError,
    KafkaException,
)
from kafkaroute.messages import Message

from . import consumer_world
from .consumer_world import A2, A, B, C, calls

world = consumer_world.world
consumer = consumer_world.consumer


def test_one_member_for_each_place(world, consumer):
    consumer.subscribe([A, A2, B])
    assert len(world.backend.consumers) == 2
    assert calls(world.on("A"), "subscribe") == [(["ta", "ta2"],)]
    assert calls(world.on("B"), "subscribe") == [(["tb"],)]


def test_subscribing_again_keeps_what_stays_and_closes_what_goes(world, consumer):
    consumer.subscribe([A, B])
    a, b = world.on("A"), world.on("B")
    consumer.subscribe([A2])
    assert (a.closed, b.closed) == (0, 1)
    assert calls(a, "subscribe")[-1] == (["ta2"],)
    consumer.subscribe([B])
    assert a.closed == 1
    assert world.on("B") is not b


@pytest.mark.parametrize("bad", [["no-channel"], [None], [A, "kafka://x"]])
def test_bad_channels_change_nothing(world, consumer, bad):
    consumer.subscribe([A])
    with pytest.raises(ChannelInvalid):
        consumer.subscribe(bad)
    world.on("A").put("ta")
    assert consumer.poll(1).channel() == A


def test_one_string_is_no_list(consumer):
    with pytest.raises(ConfigurationError, match="not one string"):
        consumer.subscribe(A)


def test_an_unknown_channel_changes_nothing(world, consumer):
    consumer.subscribe([A])
    with pytest.raises(ChannelNotFound, match="kafka://x/unknown"):
        consumer.subscribe([B, "kafka://x/unknown"])
    world.on("A").put("ta")
    assert consumer.poll(1).channel() == A


def test_a_refused_second_cluster_leaks_no_client(world):
    world.backend.refuse["B:1"] = ConfigurationError("refused")
    consumer = Consumer(world.settings())
    with pytest.raises(ConfigurationError, match="refused"):
        consumer.subscribe([A, B])
    consumer.close()
    assert [client.closed for client in world.backend.consumers] == [1]


def test_an_empty_subscription_reads_nothing(world, consumer):
    consumer.subscribe([A])
    a = world.on("A")
    consumer.subscribe([])
    assert a.closed == 1
    assert consumer.poll(0.05) is None


def test_polling_without_a_subscription_waits_no_longer_than_told(consumer):
    began = time.monotonic()
    assert consumer.poll(0.2) is None
    assert consumer.consume(5, 0.2) == []
    assert 0.35 < time.monotonic() - began < 10


def test_each_message_says_its_channel(world, consumer):
    consumer.subscribe([A, B, C])
    world.on("A").put("ta", b"1")
    world.on("B").put("tb", b"2")
    world.on("C").put("ta", b"3")
    found = {m.value(): (m.channel(), m.topic()) for m in (consumer.poll(1) for _ in range(3))}
    assert found == {b"1": (A, "ta"), b"2": (B, "tb"), b"3": (C, "ta")}


def test_consume_collects_from_all(world, consumer):
    consumer.subscribe([A, B])
    for _ in range(30):
        world.on("A").put("ta")
        world.on("B").put("tb")
    assert len(consumer.consume(50, 5)) == 50
    assert len(consumer.consume(50, 0.1)) == 10
    assert consumer.consume(0, 1) == []


@pytest.mark.parametrize("number", [-1, 1_000_001])
def test_consume_takes_a_sane_number(consumer, number):
    with pytest.raises(ValueError, match="num_messages"):
        consumer.consume(number, 0)


def test_poll_takes_confluents_timeouts(world, consumer):
    consumer.subscribe([A])
    assert consumer.poll(timeout=0) is None
    threading.Timer(0.15, lambda: world.on("A").put("ta")).start()
    assert consumer.poll().value() == b"v"
    threading.Timer(0.15, lambda: world.on("A").put("ta")).start()
    assert consumer.poll(None).value() == b"v"


def test_iteration_ends_when_closed(world):
    consumer = Consumer(world.settings())
    consumer.subscribe([A])
    for number in range(3):
        world.on("A").put("ta", str(number).encode())
    found = []
    for message in consumer:
        found.append(message.value())
        if len(found) == 3:
            consumer.close()
    assert found == [b"0", b"1", b"2"]


def event(code):
    return Message("ta", -1, -1001, error=KafkaError(code, "it is away"))


@pytest.mark.parametrize(
    "code",
    [KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError.UNKNOWN_TOPIC_OR_PART],
)
def test_iteration_outlives_what_passes(world, consumer, caplog, code):
    consumer.subscribe([A])
    a = world.on("A")
    for _ in range(3):
        a.inbox.append(lambda: event(code))
    a.put("ta", b"1")
    assert next(consumer).value() == b"1"
    assert caplog.text.count("reading goes on when that is over") == 1


def test_iteration_ends_with_what_does_not_pass(world, consumer):
    consumer.subscribe([A])
    world.on("A").inbox.append(lambda: event(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(KafkaException) as caught:
        next(consumer)
    assert caught.value.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


# What consume() has read and not returned yet.


def test_a_long_consume_takes_nothing_before_it_returns(world, consumer):
    consumer.subscribe([A, B])
    a = world.on("A")
    a.put("ta", b"a")
    found = []
    reading = threading.Thread(target=lambda: found.extend(consumer.consume(10, 1.0)))
    reading.start()
    until = time.monotonic() + 1
    while not a.ahead and time.monotonic() < until:
        time.sleep(0.01)
    assert (len(a.ahead), a.taken) == (1, [])
    reading.join(5)
    assert [m.value() for m in found] == [m.value() for m in a.taken] == [b"a"]


def test_partitions_taken_away_inside_consume_are_not_returned(world, consumer):
    consumer.subscribe([A, B])
    a = world.on("A")
    a.put("ta", b"taken", partition=1)
    a.put("ta", b"kept", partition=0)
    a.revoke("ta", 1)
    assert [m.value() for m in consumer.consume(10, 0.3)] == [b"kept"]
    assert [m.value() for m in a.taken] == [b"kept"]


def test_a_backend_that_does_not_fetch_ahead_has_its_messages_returned_at_once(world, consumer):
    consumer.subscribe([A])
    a = world.on("A")
    a.gathers = False
    a.put("ta", b"1")
    a.put("ta", b"2")
    began = time.monotonic()
    assert [m.value() for m in consumer.consume(10, 30)] == [b"1", b"2"]
    assert time.monotonic() - began < 5
