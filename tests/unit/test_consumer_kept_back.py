"""What a Consumer's moves keep back: read later, not lost, not paused for ever."""

import time

import pytest

from kafkaroute import Phase
from kafkaroute.backend import registry
from kafkaroute.testing.catalog_stub import CatalogStub

from .moves_world import Clusters, MovesWorld, values


@pytest.fixture
def world(monkeypatch):
    backend = Clusters()
    monkeypatch.setitem(registry._instances, "moves", backend)
    with CatalogStub() as stub:
        yield MovesWorld(stub, backend)
    end = time.monotonic() + 5
    while natives := backend.consumers and [spy for spy in backend.consumers if not spy._closed]:
        assert time.monotonic() < end, [spy.cluster for spy in natives]
        time.sleep(0.02)


def consume(consumer, seconds):
    found = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found += consumer.consume(100, 0.05)
    return found


# What is put back.


@pytest.mark.parametrize("how", ["poll", "consume"])
@pytest.mark.parametrize("by_call", [False, True])
def test_late_messages_that_wait_are_not_committed(world, how, by_call):
    """They came back with their channel: the place in between is read first."""
    config = {"enable.auto.commit": not by_call}
    with world.started(client_config=config, move_linger=30, ttl=300, move_window=1.0) as consumer:
        consumer.commit(asynchronous=False)
        world.move(consumer, "B")
        world.until(consumer, Phase.LEFT)
        world.put("A")
        world.write("A", *(f"a{number}" for number in range(20)))
        read = world.during if how == "poll" else consume
        assert read(consumer, 0.4) == []
        if by_call:
            consumer.commit(asynchronous=False)
        assert world.committed("A")[0] == 1
    assert world.committed("A")[0] == 1
    with world.consumer(client_config=config) as successor:
        found = world.read(successor, 20)
        assert values(found) == [f"a{number}" for number in range(20)]
