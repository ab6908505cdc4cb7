"""Requests that wait until their answer changes."""

from __future__ import annotations

import asyncio
import time

import pytest

from kafkaroute.server import answers
from kafkaroute.server.app import CatalogApp
from kafkaroute.server.stores.file_store import FileStore
from kafkaroute.server.waiting import MAX_WAIT, wanted_wait

EU = "config_profile=any&channel=kafka%3A%2F%2Fexample.com%2Forders%2Feu"
US = EU.replace("Feu", "Fus")
BILLING = ("billing", "billing-pass")


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, None),
        (b"wait=10", 10),
        (b"respond-async, wait=10", 10),
        (b'Wait="7"; x=1', 7),
        (b"wait = 3", 3),
        (b"wait=0", 0),
        (b"wait=999999", int(MAX_WAIT)),
        (b"wait=99999999999999999999", None),
        (b"wait=-1", None),
        (b"await=5", None),
        (b"wait", None),
    ],
)
def test_the_header(prefer, seconds):
    assert wanted_wait(prefer) == seconds


@pytest.fixture
def store(rules_path):
    return FileStore(rules_path, watch_interval=0.01)


def move(store, **words):
    def edit(text):
        for old, new in words.items():
            text = text.replace(old.replace("_", "-"), new)
        return text

    return asyncio.to_thread(store.change, edit, author="ops")


render = answers._render


async def waiting(client, app, query=EU, seconds=30, user=BILLING, **more):
    """A task that waits for another answer than today's."""
    first = await client.ask(app, query, user=user)
    assert first.status == 200
    headers = {"if-none-match": first.headers["etag"], "prefer": f"wait={seconds}"}
    before = len(app.polls)
    task = asyncio.create_task(client.ask(app, query, user=user, headers=headers, **more))
    await client.until(lambda: task.done() or len(app.polls) == before + 1)
    return task


def test_answers_at_once_when_the_route_changes(store, client):
    async def scenario():
        async with client.served(CatalogApp(store)) as app:
            task = await waiting(client, app)
            changed = time.monotonic()
            await move(store, orders_eu="second")
            reply = await task
            assert time.monotonic() - changed < 15
            assert reply.status == 200
            assert reply.body["channel_mapping"] == {"eu": "second"}
            assert reply.body["generation"] == 2
            assert reply.headers["preference-applied"] == "wait=30"
            assert len(app.polls) == 0

    asyncio.run(scenario())


def test_304_when_nothing_changes(store, client):
    async def scenario():
        async with client.served(CatalogApp(store)) as app:
            task = await waiting(client, app, seconds=1)
            started = time.monotonic()
            reply = await task
            assert (reply.status, reply.body) == (304, None)
            assert 0.5 < time.monotonic() - started < 20
            assert reply.headers["etag"]
            assert reply.headers["cache-control"] == "private, max-age=60, stale-if-error=86400"

    asyncio.run(scenario())


def test_a_change_of_another_channel_wakes_nobody(store, client):
    async def scenario():
        async with client.served(CatalogApp(store)) as app:
            eu, us = await waiting(client, app), await waiting(client, app, US)
            await move(store, orders_us="other")
            assert (await us).status == 200
            assert len(app.polls) == 1
            assert not eu.done()
            await move(store, orders_eu="second")
            assert (await eu).status == 200

    asyncio.run(scenario())


def test_many_polls_of_one_question_are_one_look_at_the_rules(store, client, monkeypatch):
    async def scenario():
        async with client.served(CatalogApp(store)) as app:
            tasks = [await waiting(client, app) for _ in range(200)]
            made = []

            def counting(*args):
                made.append(args)
                return render(*args)

            monkeypatch.setattr(answers, "_render", counting)
            await move(store, orders_eu="second")
            assert {(await task).status for task in tasks} == {200}
            assert len(made) == 1

    asyncio.run(scenario())


def test_without_a_known_answer_nothing_waits(store, client):
    async def scenario():
        async with client.served(CatalogApp(store)) as app:
            for headers in ({"prefer": "wait=30"}, {"prefer": "wait=30", "if-none-match": '"old"'}):
                async with asyncio.timeout(5):
                    assert (await client.ask(app, EU, user=BILLING, headers=headers)).status == 200

    asyncio.run(scenario())


def test_a_client_that_hangs_up_is_forgotten(store, client):
    async def scenario():
        async with client.served(CatalogApp(store)) as app:
            gone = asyncio.Event()
            task = await waiting(client, app, gone=gone)
            gone.set()
            async with asyncio.timeout(5):
                await task
            assert len(app.polls) == 0

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("password: billing-pass", "password: another"),
        ("  - {name: billing, password: billing-pass}\n", ""),
    ],
)
def test_a_caller_who_may_not_ask_any_more_learns_nothing(store, client, rules_text, old, new):
    async def scenario():
        async with client.served(CatalogApp(store)) as app:
            task = await waiting(client, app)

            def edit(text):
                text = text.replace(old, new).replace("orders-eu", "secret-topic")
                if not new:
                    start, end = text.index("  - caller: billing"), text.index("  - caller: ops")
                    text = text[:start] + text[end:]
                return text

            await asyncio.to_thread(store.change, edit, author="ops")
            reply = await task
            assert reply.status == 401
            assert "secret-topic" not in str(reply.body)

    asyncio.run(scenario())


def test_polls_are_answered_when_the_service_stops(store, client):
    async def scenario():
        app = CatalogApp(store)
        async with client.served(app):
            task = await waiting(client, app)
        assert (await task).status == 304
        assert len(app.polls) == 0

    asyncio.run(scenario())


def test_a_second_change_while_the_first_is_looked_at(store, client):
    async def scenario():
        async with client.served(CatalogApp(store)) as app:
            tasks = [await waiting(client, app, query) for query in (EU, US)]
            await asyncio.gather(move(store, orders_eu="a"), move(store, orders_us="b"))
            replies = [await task for task in tasks]
            assert [list(reply.body["channel_mapping"].values()) for reply in replies] == [
                ["a"],
                ["b"],
            ]

    asyncio.run(scenario())


def test_clients_of_all_names_are_one_look_until_rules_look_at_names(store, client, rules_text):
    async def scenario():
        async with client.served(CatalogApp(store)) as app:
            one, two = [await waiting(client, app, f"{EU}&client_id={name}") for name in "ab"]
            assert len(app.polls._groups) == 1
            rule = "      - {match: {client_id: b}, transform: 'canary'}\n      - match: {host: 'example\\.com', path: '/orders"

            def edit(text):
                return text.replace("      - match: {host: 'example\\.com', path: '/orders", rule)

            await asyncio.to_thread(store.change, edit, author="ops")
            reply = await two
            assert reply.body["channel_mapping"] == {"eu": "canary"}
            assert not one.done()
            await client.until(lambda: len(app.polls._groups) == 1)
            await move(store, orders_eu="second")
            assert (await one).body["channel_mapping"] == {"eu": "second"}

    asyncio.run(scenario())
