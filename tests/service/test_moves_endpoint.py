"""``/v1/moves``: who may, what it does, what it tells before."""

from __future__ import annotations

import asyncio
import json

import pytest

from kafkaroute.cli import main
from kafkaroute.server.app import CatalogApp
from kafkaroute.server.stores.file_store import FileStore

EU = "kafka://example.com/orders/eu"
QUERY = "config_profile=any&channel=kafka%3A%2F%2Fexample.com%2Forders%2Feu"
BILLING = ("billing", "billing-pass")


@pytest.fixture
def app(rules_path):
    return CatalogApp(FileStore(rules_path))


@pytest.fixture
def ask(app, client):
    return lambda *args, **more: asyncio.run(client.ask(app, *args, **more))


@pytest.fixture
def post(ask):
    def post(body, **more):
        return ask(path="/v1/moves", method="POST", body=body, **more)

    return post


def test_a_channel_is_moved_to_another_cluster_and_topic(ask, post, rules_path, capsys):
    before = ask(QUERY, user=BILLING).body
    reply = post({"channel": EU, "cluster": "west", "topic": "orders-v2"})
    assert reply.status == 200
    assert reply.body["changed"] is True
    assert reply.body["from"] == {"cluster": "east", "topic": "orders-eu", "generation": 1}
    assert reply.body["to"] == {"cluster": "west", "topic": "orders-v2", "generation": 2}
    after = ask(QUERY, user=BILLING).body
    assert after["connection"] == {"bootstrap.servers": "w1:9092"}
    assert after["channel_mapping"] == {"eu": "orders-v2"}
    assert after["generation"] == before["generation"] + 1
    assert after["previous"][0]["topic"] == "orders-eu"
    # It is a part of the rules from now on.
    assert main(["check", str(rules_path)]) == 0
    assert "1 moved channel" in capsys.readouterr().out
    shown = ask(path="/v1/moves").body["moves"]
    assert shown == [{"channel": EU, "cluster": "west", "topic": "orders-v2"}]
    assert CatalogApp(FileStore(rules_path)).store.state.rules.moves


def test_a_topic_or_a_cluster_alone(post):
    assert post({"channel": EU, "topic": "x"}).body["to"]["cluster"] == "east"
    assert post({"channel": EU, "cluster": "west"}).body["to"]["topic"] == "x"


def test_a_move_back_leaves_no_entry(post, ask, rules_path):
    post({"channel": EU, "cluster": "west"})
    reply = post({"channel": EU, "cluster": "east"})
    assert reply.body["to"] == {"cluster": "east", "topic": "orders-eu", "generation": 3}
    assert ask(path="/v1/moves").body["moves"] == []
    assert "west, topic" not in rules_path.read_text()


def test_a_move_to_where_it_is_changes_nothing(post, rules_path, rules_text):
    reply = post({"channel": EU, "cluster": "east", "topic": "orders-eu"})
    assert (reply.status, reply.body["changed"]) == (200, False)
    assert rules_path.read_text() == rules_text


def test_a_dry_run_tells_who_asked_and_changes_nothing(ask, post, rules_path, rules_text):
    ask(f"{QUERY}&intent=produce&client_id=bill-1", user=BILLING)
    ask(QUERY, user=("reports", "reports-pass"))
    reply = post({"channel": "KAFKA://example.com//orders/eu", "cluster": "west", "dry_run": True})
    assert reply.status == 200
    assert (reply.body["dry_run"], reply.body["changed"]) == (True, False)
    assert [
        (c["caller"], c["client_id"], c["intent"], c["generation"]) for c in reply.body["callers"]
    ] == [("reports", "", "", 1), ("billing", "bill-1", "produce", 1)]
    assert reply.body["callers"][0]["at"].endswith("+00:00")
    assert reply.body["warnings"] == ["reports has no credentials on the cluster west"]
    assert rules_path.read_text() == rules_text


def test_who_has_followed(ask, post):
    ask(QUERY, user=BILLING)
    ask(QUERY, user=("reports", "reports-pass"))
    post({"channel": EU, "topic": "second"})
    ask(QUERY, user=BILLING)
    reply = ask("channel=kafka%3A%2F%2Fexample.com%2Forders%2Feu", path="/v1/moves")
    assert reply.body["at"] == {"cluster": "east", "topic": "second", "generation": 2}
    assert {c["caller"]: c["generation"] for c in reply.body["callers"]} == {
        "billing": 2,
        "reports": 1,
    }


@pytest.mark.parametrize(("user", "status"), [(BILLING, 403), (("ops", "wrong"), 401), (None, 401)])
def test_only_admins(post, ask, rules_path, rules_text, user, status):
    assert post({"channel": EU, "cluster": "west"}, user=user).status == status
    assert ask(path="/v1/moves", user=user).status == status
    assert rules_path.read_text() == rules_text


def test_nobody_is_an_admin_where_everybody_may_ask(rules_path, rules_text, client):
    start, end = rules_text.index("callers:"), rules_text.index("clusters:\n")
    rules_path.write_text(rules_text[:start] + rules_text[end:])
    app = CatalogApp(FileStore(rules_path))
    reply = asyncio.run(
        client.ask(app, path="/v1/moves", method="POST", body={"channel": EU}, user=None)
    )
    assert reply.status == 403


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "no JSON"),
        (b"[" * 30_000, 400, "no JSON"),
        (b"[]", 400, "Expected an object"),
        (b"\xff\xfe", 400, "no JSON"),
        ({"channel": EU, "topic": "x", "note": "\ud83d"}, 400, "lone surrogate"),
        ({"channel": EU, "topic": "x", "note": "a\0b"}, 400, "NUL"),
        ({"channel": EU, "topic": "x", "\ud83d": "y"}, 400, "lone surrogate"),
        ({"cluster": "west"}, 400, "Expected an object"),
        ({"channel": EU}, 400, "names a cluster, a topic or both"),
        ({"channel": 7, "topic": "x"}, 400, "Invalid channel"),
        ({"channel": "nope", "topic": "x"}, 400, "Invalid channel"),
        ({"channel": "kafka://example.com/orders/*", "topic": "x"}, 400, "not by a pattern"),
        ({"channel": EU, "topic": "a b"}, 400, "no topic name"),
        ({"channel": EU, "topic": 1}, 400, "'topic' is no string"),
        ({"channel": EU, "topic": "x", "dry_run": "yes"}, 400, "'dry_run' is true or false"),
        ({"channel": EU, "topic": "x", "to": 1}, 400, "Unknown: to"),
        ({"channel": EU, "topic": "x", "note": "n" * 501}, 400, "at most 500"),
        ({"channel": EU, "topic": "x", "start_at": "soon"}, 409, "start_at"),
        ({"channel": EU, "cluster": "north"}, 404, "No cluster is named 'north'"),
        ({"channel": "kafka://example.com/nowhere", "topic": "x"}, 404, "no topic"),
        ({"channel": "kafka://example.com/orders/none", "topic": "x"}, 404, "no topic"),
    ],
)
def test_what_is_refused(post, rules_path, rules_text, body, status, message):
    reply = post(body)
    assert reply.status == status
    assert message in reply.body["message"]
    assert rules_path.read_text() == rules_text


def test_a_cluster_that_those_who_ask_by_tags_would_not_find(rules_path, rules_text, client):
    rules_path.write_text(
        rules_text.replace("    cluster_id: ee", "    tags: {env: prod}\n    cluster_id: ee")
    )
    app = CatalogApp(FileStore(rules_path))
    body = {"channel": EU, "cluster": "west"}
    reply = asyncio.run(client.ask(app, path="/v1/moves", method="POST", body=body))
    assert (reply.status, reply.body["message"]) == (
        409,
        "The cluster west lacks the tags env: prod",
    )


def test_a_file_that_cannot_be_written(post, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("kafkaroute.server.stores.file_store.os.fsync", refuse)
    reply = post({"channel": EU, "cluster": "west"})
    assert reply.status == 409
    assert "cannot be written: Permission denied" in reply.body["message"]


def test_other_methods(ask):
    reply = ask(path="/v1/moves", method="DELETE")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, POST, HEAD")


def test_start_at_is_written_down(post, ask):
    post({"channel": EU, "cluster": "west", "start_at": "latest"})
    assert ask(QUERY, user=BILLING).body["start_at"] == "latest"


def test_no_name_of_a_caller_in_the_log(ask, post, caplog):
    caplog.set_level("DEBUG")
    ask(QUERY, user=BILLING)
    post({"channel": EU, "cluster": "west", "note": "a note"})
    assert "moved to" in caplog.text
    for secret in ("ops-pass", "billing", "ops", "kafka-pass-1"):
        assert secret not in caplog.text.replace("/", " ").split()
    assert json.dumps("billing") not in caplog.text
