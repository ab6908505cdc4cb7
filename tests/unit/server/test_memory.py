"""What those who ask can make the service keep, in bytes."""

from __future__ import annotations

import asyncio

import pytest

from kafkaroute.server import memory
from kafkaroute.server.memory import KEPT_BYTES, Table
from kafkaroute.server.seen import SeenCallers, Sighting
from kafkaroute.server.sightings import Sightings

BAR = "kafka://example.com/bar"


def test_the_oldest_go_beyond_a_size():
    table = Table()
    for number in range(100):
        table.put(number, "x", 800, most=1000, most_bytes=10_000)
    assert len(table) == 10
    assert list(table.first(2)) == [90, 91]
    assert table.size == 10_000


def test_the_oldest_go_beyond_a_number():
    table = Table()
    assert [table.put(n, "x", 1, most=2, most_bytes=10_000) for n in range(4)] == [0, 0, 1, 1]
    assert (table.get(1), table.get(2), table.get(3)) == (None, "x", "x")


def test_one_that_would_push_out_many_is_not_kept():
    table = Table()
    table.put("small", "x", 1, most=100, most_bytes=10_000)
    assert table.put("large", "x", 1_300, most=100, most_bytes=10_000) == 1
    assert "large" not in table
    assert "small" in table


def test_a_new_value_counts_once():
    table = Table()
    for size in (500, 100, 300):
        table.put("a", size, size, most=100, most_bytes=10_000)
    assert (len(table), table.get("a"), table.size) == (1, 300, 300 + 200)
    assert table.pop("a") == 300
    assert (table.pop("a"), table.size) == (None, 0)


def test_the_budget_is_less_than_the_promise():
    """300 MB, of which an idle service has 75."""
    own = [getattr(memory, name) for name in memory.__all__ if name.endswith("_BYTES")]
    assert sum(own) - KEPT_BYTES + memory.TOLD_BYTES == KEPT_BYTES
    assert KEPT_BYTES <= 225 * 1024 * 1024


class Store:
    """Refuses rows and fails on demand."""

    shares_sightings = True

    def __init__(self):
        self.rows = []
        self.failures = 0

    def share(self, rows):
        if self.failures:
            self.failures -= 1
            raise OSError("the database is away")
        self.rows += rows
        return sum("bad" in one.channel for one in rows)


@pytest.fixture
def shared():
    store = Store()
    return store, Sightings(SeenCallers(), store)


def note(sightings, *channels):
    for channel in channels:
        sightings._wait_for_writing(Sighting(channel, "c", "", "", 1, 1.0))


def test_a_failed_writing_is_tried_again_in_parts(shared, caplog):
    store, sightings = shared
    store.failures = 2
    channels = [f"kafka://h/{number:02}" for number in range(10)]
    note(sightings, *channels)
    sightings._batch = 8
    for _ in range(8):
        asyncio.run(sightings.flush())
    assert sorted(one.channel for one in store.rows) == channels
    assert caplog.text.count("it is tried again") == 1


def test_what_is_dropped_is_counted_and_said(shared, caplog):
    store, sightings = shared
    note(sightings, "kafka://h/good", "kafka://h/bad")
    asyncio.run(sightings.flush())
    assert "1 notes of who asked were not written down" in caplog.text
    assert len(store.rows) == 2
