"""Rendered answers are used again until anything that they depend on changes."""

from __future__ import annotations

import asyncio

import pytest

from kafkaroute.rules.secrets.refs import prefetch
from kafkaroute.server import answers
from kafkaroute.server.answers import Answers
from kafkaroute.server.app import CatalogApp
from kafkaroute.server.stores.file_store import FileStore

QUERY = b"config_profile=any&channel=kafka%3A%2F%2Fexample.com%2Forders%2Feu"
BILLING = ("billing", "billing-pass")


@pytest.fixture
def store(rules_path):
    return FileStore(rules_path)


@pytest.fixture
def rendered(store):
    """A function of caller and query, and a list with the time."""
    now = [0.0]
    kept = Answers(clock=lambda: now[0])

    def ask(caller="billing", query=QUERY):
        return asyncio.run(kept.current(lambda: store.state, caller, query))

    return ask, now


def test_the_same_question_is_rendered_once(rendered):
    ask, now = rendered
    first = ask()
    now[0] = 59
    assert ask() is first
    assert ask(query=QUERY + b"&client_id=me") is first
    assert ask(query=b"client_id=you&" + QUERY) is first
    assert ask("ops") is not first
    assert ask(query=QUERY + b"&intent=consume") is not first
    now[0] = 61
    assert ask() is not first


def test_new_rules_and_new_secrets_are_answered(rendered, store, monkeypatch):
    ask, _ = rendered
    first = ask()
    monkeypatch.setattr(answers, "secret_changes", lambda: 10**9)
    second = ask()
    assert second is not first
    assert ask() is second
    store.change(lambda text: text + "# more\n", author="ops")
    assert ask() is not second


def test_what_is_kept_is_bounded(rendered, monkeypatch):
    monkeypatch.setattr(answers, "_MAX_KEPT", 3)
    ask, _ = rendered
    first, *rest = [ask(query=QUERY + b"&x=%d" % number) for number in range(4)]
    assert [ask(query=QUERY + b"&x=%d" % (n + 1)) for n in range(3)] == rest
    assert ask(query=QUERY + b"&x=0") is not first


def test_client_ids_matter_where_rules_look_at_them(rules_path, rules_text, client):
    rules_path.write_text(
        rules_text.replace(
            "    rules:\n", "    rules:\n      - {match: {client_id: c.*}, transform: canary}\n", 1
        )
    )
    app = CatalogApp(FileStore(rules_path))

    async def topic(more=""):
        reply = await client.ask(app, QUERY.decode() + more, user=BILLING)
        return reply.body["channel_mapping"]["eu"]

    assert asyncio.run(topic()) == "orders-eu"
    assert asyncio.run(topic("&client_id=c1")) == "canary"
    assert asyncio.run(topic("&client_id=d1")) == "orders-eu"


def test_a_changed_secret_is_answered_and_the_etag_with_it(
    rules_path, rules_text, client, tmp_path
):
    secret = tmp_path / "password"
    secret.write_text("one")
    rules_path.write_text(
        rules_text.replace("{vault://env/kafka-pass}", f"{{vault://file{secret}}}")
    )
    app = CatalogApp(FileStore(rules_path))

    async def scenario():
        first = await client.ask(app, QUERY.decode(), user=BILLING)
        assert first.body["credentials"]["sasl.password"] == "one"
        secret.write_text("two")
        async with asyncio.timeout(30):
            while True:
                # The service does it by itself, every 15 s (see secret_keeper).
                answers_now = app.store.state.rules.values_with_secrets()
                await asyncio.to_thread(prefetch, answers_now)
                headers = {"if-none-match": first.headers["etag"]}
                reply = await client.ask(app, QUERY.decode(), user=BILLING, headers=headers)
                if reply.status == 200:
                    break
                await asyncio.sleep(0.1)
        assert reply.body["credentials"]["sasl.password"] == "two"

    asyncio.run(scenario())
