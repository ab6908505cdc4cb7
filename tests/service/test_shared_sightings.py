"""Who asked for what, in PostgreSQL, whatever the names are."""

import time

from kafkaroute.server.seen import Sighting

from . import test_postgres_store
from .test_postgres_store import put, within

open_store = test_postgres_store.open_store


def test_a_row_that_the_database_refuses_loses_no_neighbour(database_url, open_store, rules_text):
    put(database_url, rules_text)
    store = open_store(database_url)
    within(lambda: store.state)
    now = time.time()
    odd = ["a\0b", "\ud83d", "x" * 5_000, "good"]
    rows = [Sighting("kafka://h/a", "c", client, "", 1, now) for client in odd]
    rows += [Sighting("kafka://h/a", f"d{number}", "", "", 2**70, now) for number in range(20)]
    assert store.share(rows) == 1
    found = store.sightings("kafka://h/a")
    assert len(found) == 23
    assert {one.client_id for one in found} == {"a\ufffdb", "?", "good", ""}
