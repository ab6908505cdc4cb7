"""A Consumer and processes: forks, and one that ends without close()."""

import os

import pytest

from kafkaroute.testing.cluster import unique_name

from .looking import run_program, values

FORKS = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def forks(test):
    for mark in FORKS:
        test = mark(test)
    return test


@forks
def test_a_consumer_made_before_a_fork_reads_in_the_child(any_world, in_child):
    channels = [any_world.channel(0), any_world.channel(1)]
    for channel in channels:
        any_world.write(channel, [b"v"] * 5)
    consumer = any_world.consumer()

    def work():
        consumer.subscribe(channels)
        assert len(any_world.read(consumer, 10)) == 10
        consumer.close()

    in_child(work)


@forks
def test_the_child_leaves_the_parents_consumer_alone(any_world, in_child):
    """It neither polls the parent's native clients nor leaves the group for it."""
    channels = [any_world.channel(0), any_world.channel(1)]
    for channel in channels:
        any_world.write(channel, [b"v"] * 5)
    consumer = any_world.consumer(channels)
    any_world.read(consumer, 10)
    in_child(consumer.close)
    for channel in channels:
        any_world.write(channel, [b"w"])
    assert values(any_world.read(consumer, 2)) == [b"w", b"w"]


@forks
def test_parent_and_child_share_the_group(real_world, in_child, background):
    """A subscribed consumer becomes a second member in the child, when it first polls there."""
    channel = real_world.channel(0, partitions=4)
    consumer = real_world.consumer([channel])
    real_world.join(consumer, [channel])

    def work():
        real_world.join(consumer, [channel], timeout=40)
        assert len(consumer.assignment()) < 4
        consumer.close()

    with background(lambda: consumer.poll(0.1)):
        in_child(work)
    real_world.wait(lambda: (consumer.poll(0.1), len(consumer.assignment()) == 4)[1], 30)


def test_a_process_that_never_closes_its_consumer_ends(world):
    channels = [world.channel(0), world.channel(1)]
    for channel in channels:
        world.write(channel, [b"v"])
    config = {"group.id": unique_name("g"), "auto.offset.reset": "earliest"}
    program = f"""
        from kafkaroute import Consumer
        consumer = Consumer({world.settings(config)!r})
        consumer.subscribe({channels!r})
        found = []
        while len(found) < 2:
            if (message := consumer.poll(1)) is not None:
                found.append(message.channel())
        print(*sorted(found))
    """
    assert run_program(program) == (0, " ".join(sorted(channels)) + "\n", "")
