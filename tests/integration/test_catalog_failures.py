"""What a catalog may do to an application: every way in which a naive client was seen to fail,
but for moves, on both backends. The clusters are well all the time; only the catalog is not.
"""

import logging
import threading
import time

import pytest

from kafkaroute import (
    CatalogAnswerInvalid,
    CatalogError,
    CatalogUnauthorized,
    CatalogUnavailable,
    ChannelNotFound,
    Consumer,
    Producer,
)
from kafkaroute.testing.catalog_stub import Fault

from .catalog_faults import PROMISE, SLACK, TTL, await_catalog, name_of
from .looking import values
from .stalls import Stalls

UNAVAILABLE = (
    Fault.DOWN,
    Fault.DROP,
    Fault.DROP_MID_BODY,
    Fault.HANG,
    Fault.HANG_MID_BODY,
    Fault.TRICKLE,
    Fault.TRICKLE_HEADERS,
    Fault.NOT_HTTP,
    Fault.STATUS_500,
    Fault.STATUS_502,
    Fault.STATUS_503,
    Fault.STATUS_504,
    Fault.TOO_MANY,
)
INVALID = (
    Fault.HTML,
    Fault.EMPTY,
    Fault.EMPTY_OBJECT,
    Fault.LIST,
    Fault.NULL,
    Fault.TRUNCATED,
    Fault.NOT_UTF8,
    Fault.HUGE,
    Fault.HUGE_DECLARED,
    Fault.GZIP_BOMB,
    Fault.REDIRECT,
)
REFUSED = {
    **dict.fromkeys(UNAVAILABLE, CatalogUnavailable),
    **dict.fromkeys(INVALID, CatalogAnswerInvalid),
    Fault.UNAUTHORIZED: CatalogUnauthorized,
    Fault.FORBIDDEN: CatalogUnauthorized,
    Fault.NOT_FOUND: ChannelNotFound,
}
#: Past the TTL each takes seconds: those of which the rows speak.
PAST_TTL = (
    Fault.DOWN,
    Fault.DROP,
    Fault.HANG,
    Fault.TRICKLE,
    Fault.STATUS_500,
    Fault.STATUS_503,
    Fault.HTML,
    Fault.EMPTY_OBJECT,
    Fault.LIST,
    Fault.TRUNCATED,
    Fault.HUGE,
    Fault.UNAUTHORIZED,
    Fault.FORBIDDEN,
    Fault.NOT_FOUND,
)


# At start.


@pytest.mark.parametrize("fault", REFUSED, ids=name_of)
def test_bad_at_start_and_back_again(world, fault):
    """A clear error within the timeout; nothing bad is kept; the same object works later."""
    channel = world.channel()
    producer = world.producer(timeout=1.0, ttl=2)
    world.stub.fault = fault
    began = time.monotonic()
    with Stalls() as stalls, pytest.raises(CatalogError) as caught:
        producer.produce(channel, b"too early")
    assert time.monotonic() - began < 1.0 + SLACK + stalls.seconds
    assert type(caught.value) is REFUSED[fault]
    if REFUSED[fault] is not CatalogUnauthorized:
        assert channel in str(caught.value) or str(world.stub.port) in str(caught.value)

    world.stub.fault = None
    # "Not found" and "unauthorised" are remembered for up to 10 s or one TTL.
    await_catalog(world, producer.produce, channel, b"v")
    assert producer.flush(20) == 0
    assert values(world.landed(channel)) == [b"v"]


@pytest.mark.parametrize("fault", [Fault.DOWN, Fault.HANG, Fault.STATUS_503], ids=name_of)
def test_a_consumer_bad_at_start_and_back_again(world, fault):
    channel = world.channel()
    world.write(channel, [b"v"])
    consumer = world.consumer(timeout=1.0)
    world.stub.fault = fault
    began = time.monotonic()
    with Stalls() as stalls, pytest.raises(CatalogUnavailable):
        consumer.subscribe([channel])
    assert time.monotonic() - began < 1.0 + SLACK + stalls.seconds
    assert consumer.poll(0) is None
    world.stub.fault = None
    await_catalog(world, consumer.subscribe, [channel])
    assert values(world.read(consumer, 1)) == [b"v"]


def test_many_channels_while_the_catalog_hangs(world):
    """One timeout, not one for each channel."""
    channels = [world.channel() for _ in range(12)]
    world.stub.fault = Fault.HANG
    consumer = world.consumer(timeout=1.0)
    began = time.monotonic()
    with pytest.raises(CatalogUnavailable):
        consumer.subscribe(channels)
    assert time.monotonic() - began < 8


def test_a_snapshot_starts_without_a_catalog(world, tmp_path):
    channels = [world.channel(0), world.channel(1)]
    snapshot = tmp_path / "routes.json"
    with Producer(world.settings(snapshot=snapshot)) as producer:
        for channel in channels:
            producer.produce(channel, b"first run")
    with Consumer(world.settings({"group.id": "g"}, snapshot=snapshot)) as consumer:
        consumer.subscribe(channels)
    assert snapshot.stat().st_mode & 0o777 == 0o600

    for fault in (Fault.DOWN, Fault.HANG, Fault.HTML):
        world.stub.fault = fault
        producer = world.producer(snapshot=snapshot, timeout=1.0)
        began = time.monotonic()
        with Stalls() as stalls:
            for channel in channels:
                producer.produce(channel, b"second run")
        assert time.monotonic() - began < 2 * (1.0 + SLACK) + stalls.seconds
        assert producer.flush(20) == 0
        producer.close()
    consumer = world.consumer(channels, snapshot=snapshot, timeout=1.0)
    found = world.read(consumer, 8)
    assert {
        channel: sum(m.channel() == channel for m in found) for channel in channels
    } == dict.fromkeys(channels, 4)


# Later.


def produced(producer, channel, seconds, made, enough=lambda: True):
    """Produce and poll without pause for `seconds`, and until it is `enough`; the longest calls, in
    seconds."""
    slowest = [0.0, 0.0]
    start = time.monotonic()
    while (lasted := time.monotonic() - start) < seconds or not enough():
        assert lasted < seconds + 20
        value = b"%d" % len(made)
        began = time.monotonic()
        producer.produce(channel, value)
        between = time.monotonic()
        producer.poll(0)
        ended = time.monotonic()
        made.append(value)
        slowest = [max(slowest[0], between - began), max(slowest[1], ended - between)]
        time.sleep(0.005)
    return slowest


@pytest.mark.parametrize("fault", PAST_TTL, ids=name_of)
def test_bad_past_the_ttl(world, fault, caplog):
    """Producing and consuming go on, no call waits for the catalog, one warning is logged, and
    all is well again by itself."""
    channel = world.channel()
    producer = world.producer(ttl=TTL, timeout=3.0)
    consumer = world.consumer([channel], ttl=TTL, timeout=3.0)
    made = []
    produced(producer, channel, 0.2, made)
    world.read(consumer, len(made))
    already = len(made)

    read, slowest_poll = [], [0.0]
    stop = threading.Event()

    def consume():
        while not stop.is_set():
            began = time.monotonic()
            message = consumer.poll(0.05)
            slowest_poll[0] = max(slowest_poll[0], time.monotonic() - began)
            if message is not None:
                read.append(message.value())

    def warnings():
        texts = [
            record.getMessage()
            for record in list(caplog.records)
            if record.levelno >= logging.WARNING
        ]
        return [text for text in texts if "catalog" in text]

    reader = threading.Thread(target=consume)
    reader.start()
    caplog.set_level(logging.INFO, "kafkaroute")
    try:
        asked = len(world.stub.requests)
        world.stub.fault = fault
        slowest = produced(producer, channel, 2.2 * TTL, made, lambda: len(warnings()) >= 2)
        asked_in_vain = len(world.stub.requests) - asked
        warned = warnings()
        world.stub.fault = None
        asked = len(world.stub.requests)
        world.wait(lambda: len(world.stub.requests) >= asked + 2, 15, "asking again")
        assert producer.flush(20) == 0
        world.wait(lambda: len(read) >= len(made) - already, 20, "reading all")
    finally:
        stop.set()
        reader.join(20)
    assert max(slowest) < PROMISE
    assert slowest_poll[0] < 0.05 + PROMISE
    assert read == made[already:]
    assert values(world.landed(channel)) == made
    if fault is not Fault.DOWN:
        assert asked_in_vain >= 2
    # One for the Producer's question and one for the Consumer's, not one for each try.
    assert len(warned) == 2, warned


def test_nothing_changed_at_the_ttl(world, monkeypatch):
    """Requests come once per channel and TTL, whatever is sent; nothing is rebuilt."""
    channels = [world.channel(0), world.channel(1), world.channel(0)]
    producer = world.producer(ttl=TTL)
    assigned = []
    consumer = world.consumer(ttl=TTL)
    consumer.subscribe(channels, on_assign=lambda _, parts: assigned.append(parts))
    began = time.monotonic()
    count = 0
    clients = None
    read = 0
    questions = 2 * len(channels)  # one to produce, one to consume

    def enough():
        return took >= 4 * TTL and len(world.stub.requests) >= questions * 3 and count > 300

    took = 0.0
    while not enough():
        assert took < 60
        for channel in channels:
            producer.produce(channel, b"v")
            count += 1
        producer.poll(0)
        while consumer.poll(0.001) is not None:
            read += 1
        # Identity of the native clients tells a rebuild.
        clients = clients or ([*producer._router.clients()], [*consumer._router.clients()])
        assert ([*producer._router.clients()], [*consumer._router.clients()]) == clients
        took = time.monotonic() - began
    assert producer.flush(20) == 0
    while read < count:
        assert consumer.poll(10) is not None
        read += 1
    # Refreshed after 75 to 95 % of the TTL.
    assert len(world.stub.requests) <= questions * (took / (0.75 * TTL) + 1.5)
    assert len(assigned) == 2  # one for each cluster
    assert sum(len(world.landed(channel)) for channel in channels) == count


def test_no_request_for_a_message(world):
    channel = world.channel()
    producer = world.producer()
    consumer = world.consumer([channel])
    producer.produce(channel, b"v")
    asked = len(world.stub.requests)
    assert asked == 2
    for _ in range(2000):
        producer.produce(channel, b"v")
        producer.poll(0)
    assert producer.flush(20) == 0
    world.read(consumer, 2001)
    for _ in range(200):
        consumer.poll(0)
    assert len(world.stub.requests) == asked
