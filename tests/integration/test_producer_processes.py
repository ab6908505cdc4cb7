"""A Producer of several threads, across a fork and at the end of a process, on both backends."""

import os
import threading
import time

import pytest

from .looking import run_program, values


def test_threads(world):
    channels = [world.channel(n % 2) for n in range(4)]
    producer = world.producer()
    delivered = []
    go = threading.Barrier(4)

    def work(which):
        go.wait(10)
        for number in range(500):
            producer.produce(
                channels[(which + number) % 4],
                b"%d-%d" % (which, number),
                on_delivery=lambda error, _: delivered.append(error),
            )
            if number % 50 == 0:
                producer.poll(0)

    threads = [threading.Thread(target=work, args=(which,)) for which in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert producer.flush(60) == 0
    assert delivered == [None] * 2000
    landed = [value for channel in channels for value in values(world.landed(channel))]
    assert sorted(landed) == sorted(b"%d-%d" % (w, n) for w in range(4) for n in range(500))
    assert len(world.stub.requests) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork(world, in_child):
    channel = world.channel()
    producer = world.producer()
    producer.produce(channel, b"parent 1")
    assert producer.flush(20) == 0

    def work():
        seen = []
        producer.produce(channel, b"child", on_delivery=lambda error, _: seen.append(error))
        assert producer.flush(30) == 0
        assert seen == [None]
        producer.close(5)

    in_child(work)
    producer.produce(channel, b"parent 2")
    assert producer.flush(20) == 0
    assert values(world.landed(channel)) == [b"parent 1", b"child", b"parent 2"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_with_messages_on_their_way(world, in_child):
    """The child neither delivers nor reports the parent's messages."""
    channel = world.channel()
    producer = world.producer({"linger.ms": 2000})
    reports = []
    for number in range(10):
        producer.produce(channel, b"%d" % number, on_delivery=lambda *r: reports.append(r))

    def work():
        assert len(producer) == 0
        assert producer.flush(5) == 0
        assert reports == []

    in_child(work)
    assert producer.flush(30) == 0
    assert len(reports) == 10
    assert values(world.landed(channel)) == [b"%d" % n for n in range(10)]


def test_a_process_that_only_flushes_ends_quietly(world):
    """confluent-kafka's producer has no close() to call; neither need an application here."""
    channel = world.channel()
    program = f"""
        from kafkaroute import Producer
        producer = Producer({world.settings()!r})
        producer.produce({channel!r}, b"v")
        assert producer.flush(20) == 0
    """
    began = time.monotonic()
    assert run_program(program) == (0, "", "")
    assert time.monotonic() - began < 15
    assert values(world.landed(channel)) == [b"v"]
