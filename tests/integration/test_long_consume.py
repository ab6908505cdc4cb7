"""consume() that asks for more than there is, on real Kafka: what it has not returned is nobody's."""

import threading
import time

import pytest

from kafkaroute.testing.cluster import unique_name

from .member_processes import Member

QUICKLY = {"auto.commit.interval.ms": 100, "session.timeout.ms": 6000, "heartbeat.interval.ms": 300}
COUNT, PARTITIONS = 200, 2

#: Would return after half a minute.
_PATIENT_MEMBER = """
import json, os, sys
from kafkaroute import Consumer

settings, channel = json.loads(sys.argv[1])
consumer = Consumer(settings)
consumer.subscribe([channel], on_assign=lambda _, given: os.write(1, b"0 assigned\\n"))
first = consumer.consume(10, 60)
os.write(1, b"0 returned %d\\n" % len(first))
consumer.consume(10000, 60)
os.write(1, b"0 returned\\n")
"""


@pytest.fixture
def filled(real_world):
    channel = real_world.channel(partitions=PARTITIONS)
    for partition in range(PARTITIONS):
        real_world.write(channel, [b"v"] * COUNT, partition=partition)
    return channel


def test_a_process_killed_inside_consume_has_committed_what_was_returned(
    real_world, filled, tmp_path
):
    group = unique_name("g")
    settings = real_world.settings({"group.id": group, "auto.offset.reset": "earliest", **QUICKLY})
    member = Member(settings, filled, tmp_path, _PATIENT_MEMBER)
    try:
        real_world.wait(lambda: member.said("returned"), 60)
        time.sleep(3)  # thirty times what auto-commit waits
        member.check()
        assert len(member.said("returned")) == 1
    finally:
        member.kill()
    assert member.said("returned")[0][1] == ["10"]
    assert sum(real_world.committed(filled, group).values()) == 10
    heir = real_world.consumer([filled], QUICKLY, group=group)
    left = PARTITIONS * COUNT - 10
    read = real_world.read(heir, left, timeout=60)
    assert len({(m.partition(), m.offset()) for m in read}) == left


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_consume_returns_nothing_of_partitions_taken_away_inside_it(real_world, filled, strategy):
    config = {**QUICKLY, "partition.assignment.strategy": strategy}
    group = unique_name("g")
    taken, given = set(), []
    first = real_world.consumer(None, config, group=group)
    first.subscribe(
        [filled],
        on_assign=lambda _, some: given.append(len(some)),
        on_revoke=lambda _, some: taken.update((p.topic, p.partition) for p in some),
    )
    found = []
    reading = threading.Thread(target=lambda: found.extend(first.consume(10_000, 15)))
    reading.start()
    real_world.wait(lambda: sum(given) == PARTITIONS, 30)
    time.sleep(1)
    # It gets a share while the first one is still inside its call.
    second = real_world.consumer([filled], config, group=group)
    read, until = [], time.monotonic() + 40
    while reading.is_alive() or (len(read) < COUNT and time.monotonic() < until):
        read += second.consume(100, 0.2)
    assert taken
    here = {(p.topic, p.partition) for p in first.assignment()}
    assert {(m.topic(), m.partition()) for m in found} <= here
    numbers = [(m.partition(), m.offset()) for m in [*found, *read]]
    assert len(set(numbers)) == PARTITIONS * COUNT  # nothing is lost …
    assert len(numbers) == PARTITIONS * COUNT  # … and nothing comes twice
