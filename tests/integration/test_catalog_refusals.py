"""Who may ask a catalog, and for which channel, on both backends."""

import time

import pytest

from kafkaroute import CatalogError, CatalogUnauthorized, CatalogUnavailable, ChannelNotFound
from kafkaroute.testing.catalog_stub import Fault

from .catalog_faults import PROMISE, TTL, await_catalog, name_of
from .looking import values

# Who may ask.


def test_wrong_credentials_at_start(world):
    channel = world.channel()
    for fault_free in ({"basic_auth": ("user", "wrong")}, {"basic_auth": None}):
        producer = world.producer(**fault_free)
        with pytest.raises(CatalogUnauthorized) as caught:
            producer.produce(channel, b"v")
        assert "wrong" not in str(caught.value)
        consumer = world.consumer(**fault_free)
        with pytest.raises(CatalogUnauthorized):
            consumer.subscribe([channel])


@pytest.mark.parametrize("fault", [Fault.UNAUTHORIZED, Fault.DOWN, Fault.HANG], ids=name_of)
def test_max_stale_is_the_end(world, fault):
    """A route that the catalog has not confirmed for `max_stale` is not used any more: an error at
    once, never a silent stall, and all is well again when the catalog is."""
    channel = world.channel()
    producer = world.producer(ttl=TTL, max_stale=3 * TTL, timeout=0.4)
    producer.produce(channel, b"0")
    world.stub.fault = fault
    began = time.monotonic()
    made, refused, slowest = [b"0"], None, 0.0
    while time.monotonic() - began < 10 * TTL and refused is None:
        before = time.monotonic()
        try:
            producer.produce(channel, b"%d" % len(made))
            made.append(b"%d" % len(made))
        except CatalogError as error:
            refused = error
        slowest = max(slowest, time.monotonic() - before)
        time.sleep(0.02)
    lasted = time.monotonic() - began
    kind = CatalogUnauthorized if fault is Fault.UNAUTHORIZED else CatalogUnavailable
    assert type(refused) is kind
    assert lasted > 2 * TTL
    assert slowest < PROMISE + 0.4
    world.stub.fault = None
    await_catalog(world, producer.produce, channel, b"back")
    assert producer.flush(20) == 0
    assert values(world.landed(channel)) == [*made, b"back"]


# Which channel.


def test_not_in_the_lookup_table(world):
    known, bogus = world.channel(), world.channel()
    world.stub.remove(bogus)
    producer = world.producer()
    with pytest.raises(ChannelNotFound) as caught:
        producer.produce(bogus, b"v")
    assert bogus in str(caught.value)
    producer.produce(known, b"v")
    with pytest.raises(ChannelNotFound, match=bogus.rpartition("/")[2]):
        world.consumer([known, bogus])
    with pytest.raises(ChannelNotFound):
        producer.preload([known, bogus])


def test_an_entry_taken_out_later(world):
    """The channel goes on; whoever starts anew is told."""
    channel = world.channel()
    producer = world.producer(ttl=TTL)
    producer.produce(channel, b"1")
    world.stub.remove(channel)
    world.wait(lambda: producer.routes()[channel].error)
    producer.produce(channel, b"2")
    assert producer.flush(20) == 0
    assert values(world.landed(channel)) == [b"1", b"2"]
    with pytest.raises(ChannelNotFound):
        world.producer().produce(channel, b"3")


def test_the_same_last_segment(world):
    """They collide in an answer for several: each is asked for alone."""
    channels = [
        world.channel(0, name="kafka://example.com/bar"),
        world.channel(1, name="kafka://example.com/baz/bar"),
        world.channel(0, name="kafka://example.org/bar"),
    ]
    producer = world.producer()
    consumer = world.consumer(channels)
    for number in range(90):
        producer.produce(channels[number % 3], channels[number % 3].encode())
    assert producer.flush(20) == 0
    for channel in channels:
        assert values(world.landed(channel)) == [channel.encode()] * 30
    assert all(m.channel().encode() == m.value() for m in world.read(consumer, 90))
    assert all("channel%5B" not in request.query for request in world.stub.requests)


def test_two_clusters_one_host(any_world):
    """The service names one connection for several channels of a host, and which one varies."""
    channels = [any_world.channel(n % 2, name=f"kafka://one.example/c{n}") for n in range(6)]
    producer = any_world.producer()
    consumer = any_world.consumer(channels)
    for number in range(300):
        producer.produce(channels[number % 6], b"%d" % number)
    assert producer.flush(30) == 0
    for rest, channel in enumerate(channels):
        assert values(any_world.landed(channel)) == [b"%d" % n for n in range(rest, 300, 6)]
    found = any_world.read(consumer, 300)
    for rest, channel in enumerate(channels):
        mine = [m.value() for m in found if m.channel() == channel]
        assert mine == [b"%d" % n for n in range(rest, 300, 6)]


def test_messages_that_are_no_text(any_world):
    channel = any_world.channel()
    producer = any_world.producer()
    consumer = any_world.consumer([channel])
    kinds = [b"\xff\xfe\x00", None, b"", b"text"]
    for value in kinds:
        producer.produce(channel, value)
    assert producer.flush(20) == 0
    assert values(any_world.read(consumer, 4)) == kinds
