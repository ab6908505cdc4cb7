"""Rules in a real PostgreSQL: versions, notifications, replicas, a database that goes away."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from kafkaroute.channel import Channel
from kafkaroute.errors import ConfigurationError
from kafkaroute.rules.model import Asked
from kafkaroute.server.app import CatalogApp
from kafkaroute.server.seen import Sighting
from kafkaroute.server.stores import postgres as table
from kafkaroute.server.stores import postgres_store
from kafkaroute.server.stores.postgres import Database
from kafkaroute.server.stores.postgres_store import PostgresStore
from kafkaroute.server.stores.store import NotWritable, StoreUnavailable, VersionConflict

EU = Channel.parse("kafka://example.com/orders/eu")
QUERY = "config_profile=any&channel=kafka%3A%2F%2Fexample.com%2Forders%2Feu"
BILLING = ("billing", "billing-pass")


def put(url, text, **more):
    with Database(url).connect() as connection:
        table.create_tables(connection)
        return table.change(connection, lambda _: text, author="tester", **more)


def within(holds, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
    return found


@pytest.fixture
def open_store():
    opened = []

    def open_store(url):
        store = PostgresStore(Database(url))
        opened.append(store)
        store.start()
        return store

    yield open_store
    for store in opened:
        store.stop()


def generation(store, channel=EU):
    return store.state.history.track(Asked(channel), {}).generation


def test_it_waits_for_the_first_rules(database_url, open_store, rules_text):
    store = open_store(database_url)
    within(lambda: store.health().problems)
    assert not store.health().ready
    assert "kafkaroute rules put" in store.health().problems[0]
    assert put(database_url, rules_text) == 1
    within(lambda: store.health().ready, 15)
    assert store.state.version == 1
    assert store.health().problems == ()


def test_a_change_is_pushed_to_every_replica(database_url, open_store, rules_text, monkeypatch):
    monkeypatch.setattr(postgres_store, "_LOOK_EVERY", 3600.0)  # notifications alone
    put(database_url, rules_text)
    stores = [open_store(database_url) for _ in range(3)]
    for store in stores:
        within(lambda store=store: store.state)
    assert put(database_url, rules_text.replace("orders-eu", "second")) == 2
    for store in stores:
        within(lambda store=store: store.state.version == 2, 20)
        assert generation(store) == 2


def test_a_lost_notification_is_made_up_for(database_url, open_store, rules_text, monkeypatch):
    monkeypatch.setattr(postgres_store, "_LOOK_EVERY", 0.2)
    monkeypatch.setattr(table, "CHANNEL", "nobody_listens_here")
    put(database_url, rules_text)
    monkeypatch.undo()
    monkeypatch.setattr(postgres_store, "_LOOK_EVERY", 0.2)
    store = open_store(database_url)
    within(lambda: store.state)
    with Database(database_url).connect() as connection:
        connection.execute(
            "INSERT INTO kafkaroute_rules SELECT 2, at, author, note, document, NULL "
            "FROM kafkaroute_rules"
        )
    within(lambda: store.state.version == 2)


def test_a_new_replica_knows_the_whole_history(database_url, open_store, rules_text):
    put(database_url, rules_text)
    put(database_url, rules_text.replace("acks: all", "acks: 1"))
    put(database_url, rules_text.replace("orders-eu", "second"))
    store = open_store(database_url)
    within(lambda: store.state)
    track = store.state.history.track(Asked(EU), {})
    assert track.generation == 3
    [earlier] = track.previous
    assert (earlier.place.target.topic, earlier.generation) == ("orders-eu", 1)
    assert generation(store, Channel.parse("kafka://example.com/orders/us")) == 1


def test_rules_survive_the_database_going_away(postgres, open_store, rules_text, client, caplog):
    url = postgres.new_database()
    put(url, rules_text)
    store = open_store(url)
    within(lambda: store.state)
    postgres.stop()
    try:
        within(lambda: store.health().problems)
        assert store.health().ready
        assert store.state.version == 1
        assert "cannot be reached" in store.health().problems[0]
        app = CatalogApp(store)
        assert asyncio.run(client.ask(app, QUERY, user=BILLING)).status == 200
        assert asyncio.run(client.ask(app, path="/readyz", user=None)).status == 200
        degraded = asyncio.run(client.ask(app, path="/healthz", user=None))
        assert (degraded.status, degraded.body["status"]) == (200, "degraded")
        body = {"channel": EU.uri, "cluster": "west"}
        reply = asyncio.run(client.ask(app, path="/v1/moves", method="POST", body=body))
        assert reply.status == 409
        assert "cannot be" in reply.body["message"]
        new = PostgresStore(Database(url))
        new.start()
        within(lambda: new.health().problems)
        ready = asyncio.run(client.ask(CatalogApp(new), path="/readyz", user=None))
        assert (ready.status, ready.body["ready"]) == (503, False)
        answer = asyncio.run(client.ask(CatalogApp(new), QUERY, user=BILLING))
        assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    finally:
        postgres.start()
    put(url, rules_text.replace("orders-eu", "second"))
    for one in (store, new):
        within(lambda one=one: one.state and one.state.version == 2, 30)
        assert one.health().problems == ()
    new.stop()
    for secret in (postgres.password, postgres.user + ":", "ops-pass", "billing"):
        assert secret not in caplog.text


def test_a_connection_that_is_cut_is_opened_again(database_url, open_store, rules_text):
    put(database_url, rules_text)
    store = open_store(database_url)
    within(lambda: store.state)
    with Database(database_url).connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'kafkaroute' AND pid <> pg_backend_pid()"
        )
    put(database_url, rules_text.replace("orders-eu", "second"))
    within(lambda: store.state.version == 2)


def test_a_document_that_is_not_sound_leaves_the_last_one_in_force(
    database_url, open_store, rules_text, caplog
):
    put(database_url, rules_text)
    store = open_store(database_url)
    within(lambda: store.state)
    with Database(database_url).connect() as connection:
        connection.execute(
            "INSERT INTO kafkaroute_rules VALUES (2, now(), 'hand', '', 'clusters: [', NULL)"
        )
        connection.execute("SELECT pg_notify('kafkaroute_rules', '2')")
    within(lambda: store.health().problems)
    assert store.state.version == 1
    assert store.health().problems == ("version 2 of the rules is not sound",)
    assert "the last sound rules stay in force" in caplog.text
    # A replica that starts now answers what the others answer.
    new = open_store(database_url)
    within(lambda: new.state)
    assert new.state.version == 1
    with Database(database_url).connect() as connection:
        table.change(connection, lambda _: rules_text + "\n", author="tester")
    within(lambda: store.state.version == new.state.version == 3)
    within(lambda: store.health().problems == new.health().problems == ())


def test_a_database_that_was_restored_from_a_backup(database_url, open_store, rules_text, caplog):
    for topic in ("orders-eu", "second", "third"):
        put(database_url, rules_text.replace("orders-eu", topic))
    store = open_store(database_url)
    within(lambda: store.state)
    assert store.state.version == 3
    with Database(database_url).connect() as connection, connection.transaction():
        connection.execute("DELETE FROM kafkaroute_rules WHERE version > 1")
        connection.execute("SELECT pg_notify('kafkaroute_rules', '')")
    within(lambda: store.state.version == 1)
    assert "orders-eu" in store.state.text
    assert "a backup?" in caplog.text
    for topic in ("fourth", "fifth"):
        put(database_url, rules_text.replace("orders-eu", topic))
    within(lambda: store.state.version == 3)
    track = store.state.history.track(Asked(EU), {})
    assert [e.place.target.topic for e in track.previous] == ["orders-eu", "fourth"]


def test_changes_at_the_same_time_are_made_one_after_the_other(
    database_url, open_store, rules_text
):
    put(database_url, rules_text)
    stores = [open_store(database_url) for _ in range(2)]
    for store in stores:
        within(lambda store=store: store.state)

    def add(store, number):
        store.change(lambda text: f"{text}# change {number}\n", author=f"a{number}", note="n")

    threads = [
        threading.Thread(target=add, args=(stores[number % 2], number)) for number in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with Database(database_url).connect() as connection:
        found = table.versions(connection, 100)
        newest = table.document(connection)
    assert [one.version for one in found] == [7, 6, 5, 4, 3, 2, 1]
    assert {one.author for one in found} == {"tester", *(f"a{n}" for n in range(6))}
    assert all(f"# change {number}\n" in newest.document for number in range(6))


def test_a_change_for_another_version_is_refused(database_url, rules_text):
    put(database_url, rules_text)
    assert put(database_url, rules_text + "# 2\n", expect=1) == 2
    with pytest.raises(VersionConflict, match="version 2 is in force, not 1"):
        put(database_url, rules_text + "# 3\n", expect=1)
    assert put(database_url, rules_text + "# 2\n") == 2  # the same document


def test_a_change_that_is_not_sound_changes_nothing(database_url, open_store, rules_text):
    put(database_url, rules_text)
    store = open_store(database_url)
    within(lambda: store.state)
    with pytest.raises(ConfigurationError):
        store.change(lambda _: "clusters: []", author="ops")
    with Database(database_url).connect() as connection:
        assert table.newest_version(connection)[0] == 1


def test_a_user_who_may_only_read(postgres, database_url, open_store, rules_text, client):
    put(database_url, rules_text)
    with Database(database_url).connect() as connection:
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'reader-pass'")
        connection.execute("GRANT SELECT ON kafkaroute_rules TO reader")
    url = database_url.replace(f"{postgres.user}:{postgres.password}@", "reader:reader-pass@")
    store = open_store(url)
    within(lambda: store.state)
    with pytest.raises(NotWritable, match="may not change"):
        store.change(lambda text: text + "# x\n", author="ops")

    async def scenario():
        app = CatalogApp(store)
        assert (await client.ask(app, QUERY, user=BILLING)).status == 200
        body = {"channel": EU.uri, "cluster": "west", "dry_run": True}
        reply = await client.ask(app, path="/v1/moves", method="POST", body=body)
        assert [caller["caller"] for caller in reply.body["callers"]] == ["billing"]

    asyncio.run(scenario())


def test_a_move_at_one_replica_is_answered_by_the_other(
    database_url, open_store, rules_text, client, monkeypatch
):
    monkeypatch.setattr(postgres_store, "_LOOK_EVERY", 3600.0)  # notifications alone
    put(database_url, rules_text)
    apps = [CatalogApp(open_store(database_url)) for _ in range(2)]
    for app in apps:
        within(lambda app=app: app.store.state)

    async def scenario():
        here, there = apps
        async with client.served(here), client.served(there):
            first = await client.ask(there, QUERY, user=BILLING)
            poll = asyncio.create_task(
                client.ask(
                    there,
                    QUERY,
                    user=BILLING,
                    headers={"if-none-match": first.headers["etag"], "prefer": "wait=30"},
                )
            )
            await client.until(lambda: len(there.polls) == 1)
            body = {"channel": EU.uri, "cluster": "west", "note": "room in the west"}
            started = time.monotonic()
            moved = await client.ask(here, path="/v1/moves", method="POST", body=body)
            assert moved.status == 200
            assert moved.body["to"] == {"cluster": "west", "topic": "orders-eu", "generation": 2}
            reply = await poll
            assert time.monotonic() - started < 20
            assert reply.status == 200
            assert reply.body["connection"] == {"bootstrap.servers": "w1:9092"}
            assert reply.body["previous"][0]["generation"] == 1

    asyncio.run(scenario())
    with Database(database_url).connect() as connection:
        newest = table.document(connection)
    assert (newest.author, newest.note) == ("ops", "room in the west")
    assert "moves:" in newest.document


def test_replicas_tell_each_other_who_asked(database_url, open_store, rules_text, client):
    put(database_url, rules_text)
    apps = [CatalogApp(open_store(database_url)) for _ in range(2)]
    for app in apps:
        within(lambda app=app: app.store.state)

    async def scenario():
        here, there = apps
        await client.ask(there, f"{QUERY}&client_id=b1&intent=consume", user=BILLING)
        await there._sightings.flush()
        body = {"channel": EU.uri, "cluster": "west", "dry_run": True}
        reply = await client.ask(here, path="/v1/moves", method="POST", body=body)
        [caller] = reply.body["callers"]
        assert (caller["caller"], caller["client_id"], caller["generation"]) == ("billing", "b1", 1)

    asyncio.run(scenario())


def test_a_crowd_of_clients_is_written_down_little_by_little(
    database_url, open_store, rules_text, client, monkeypatch
):
    monkeypatch.setattr("kafkaroute.server.sightings._MAX_SHARED", 10)
    put(database_url, rules_text)
    app = CatalogApp(open_store(database_url))
    within(lambda: app.store.state)

    async def scenario():
        for number in range(25):
            await client.ask(app, f"{QUERY}&client_id=c{number}", user=BILLING)
        counts = []
        for _ in range(4):
            await app._sightings.flush()
            counts.append(len(app.store.sightings(EU.uri)))
        assert counts == [10, 20, 25, 25]

    asyncio.run(scenario())


def test_the_latest_sighting_counts_and_old_ones_are_forgotten(
    database_url, open_store, rules_text
):
    put(database_url, rules_text)
    store = open_store(database_url)
    within(lambda: store.state)
    now = time.time()
    old = Sighting("kafka://h/a", "c", "", "", 1, now - 30 * 86_400)
    new, older = (Sighting("kafka://h/a", "d", "", "", n, now - 2 + n) for n in (2, 1))
    store.share([old, new])
    store.share([older])
    assert store.sightings("kafka://h/a") == [new, old]
    with Database(database_url).connect() as connection:
        table.forget(connection)
    assert store.sightings("kafka://h/a") == [new]


def test_a_long_history_is_halved(database_url, open_store, rules_text, monkeypatch):
    monkeypatch.setattr(table, "MAX_RECORDS", 6)
    for number in range(1, 16):
        put(database_url, rules_text.replace("orders-eu", f"topic-{number}"))
    with Database(database_url).connect() as connection:
        assert len(table.records_between(connection, 0, 100)) <= 6
    store = open_store(database_url)
    within(lambda: store.state)
    track = store.state.history.track(Asked(EU), {})
    assert track.generation == 15
    assert track.previous[-1].place.target.topic == "topic-14"


def test_a_url_that_cannot_be_read_is_not_repeated():
    with pytest.raises(ConfigurationError) as caught:
        Database("postgresql://[u:s3cret")
    assert "s3cret" not in str(caught.value)


def test_a_refused_password_is_not_repeated(postgres, caplog):
    url = postgres.url().replace(postgres.password, "wr0ng-pass")
    with pytest.raises(StoreUnavailable) as caught:
        Database(url).connect()
    assert postgres.user not in str(caught.value)
    assert "wr0ng-pass" not in str(caught.value)
    assert str(postgres.port) in str(caught.value)
