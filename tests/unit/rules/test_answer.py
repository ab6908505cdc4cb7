"""The rules engine as a pure function."""

from __future__ import annotations

import pytest

from kafkaroute.rules.answer import answer
from kafkaroute.rules.loader import parse_rules

from . import rules_world
from .rules_world import OPEN_RULES, PROFILE, REQUIRED, ask

_secrets = rules_world._secrets
rules = rules_world.rules


def test_one_channel_answers_the_whole_contract(rules):
    status, body = ask(rules, "kafka://example.com/bar")
    assert status == 200
    assert body == {
        "connection": {"bootstrap.servers": "b1.example.net:9092"},
        "credentials": {
            "security.protocol": "SASL_SSL",
            "sasl.mechanisms": "PLAIN",
            "sasl.username": "kafka-user",
            "sasl.password": "kafka-pass",
        },
        "configuration": {"acks": "all", "retries": 3, "enable.idempotence": True},
        "channel_mapping": {"bar": "c0t3"},
        "cluster_id": "abcdefghijklmnopqrstuv",
    }


def test_additions_of_a_table_entry_are_answered(rules):
    _, body = ask(rules, "kafka://example.com/baz")
    assert body["channel_mapping"] == {"baz": "c0t4"}
    assert body["start_at"] == "earliest"
    assert body["generation"] == 7


@pytest.mark.parametrize(
    ("channel", "key", "topic"),
    [
        ("kafka://example.com/bar/", "bar", "c0t3"),
        ("kafka://example.com/bar?x=1", "bar", "c0t3"),
        ("kafka://EXAMPLE.com/bar", "bar", "c0t3"),
        ("kafka://example.com/deep/a/b", "b", "deep.a.b"),
        ("kafka://example.com/c1/orders", "orders", "c1t1"),
        ("kafka://example.org/t1/orders", "orders", "t1-orders"),
    ],
)
def test_lookup_and_transform(rules, channel, key, topic):
    status, body = ask(rules, channel)
    assert (status, body["channel_mapping"]) == (200, {key: topic})


def test_first_cluster_wins_even_without_an_entry(rules):
    """/bar is in the table of cluster dev, too; /qux is in none, and c0's rule matches first."""
    status, body = ask(rules, "kafka://example.com/qux")
    assert (status, body["channel_mapping"]) == (200, {})
    assert body["connection"] == {"bootstrap.servers": "b1.example.net:9092"}


@pytest.mark.parametrize(
    "channel",
    [
        "kafka://example.org/x1/orders",  # the pattern does not match
        "kafka://example.com/c1",  # c0's rule, but no entry
        "kafka://example.com/deep/a\u00fc/b",  # no legal topic name
    ],
)
def test_a_rule_that_names_no_topic_answers_an_empty_mapping(rules, channel):
    status, body = ask(rules, channel)
    assert (status, body["channel_mapping"]) == (200, {})


def test_expressions_match_the_whole_part(rules):
    """example.com.evil.net must not be taken for example.com."""
    prod = [("kafka.env", "prod")]
    assert ask(rules, "kafka://example.com.evil.net/bar", extra=prod).status == 404
    assert ask(rules, "kafka://www.example.com/bar", extra=prod).status == 404


def test_tags_choose_cluster_and_profile(rules):
    prod = ask(
        rules,
        "kafka://example.com/bar",
        extra=[("kafka.env", "prod"), ("config_profile.env", "prod")],
    ).body
    dev = ask(
        rules,
        "kafka://example.com/bar",
        extra=[("kafka.env", "dev"), ("config_profile.env", "dev")],
    ).body
    assert prod["channel_mapping"] == {"bar": "c0t3"}
    assert prod["configuration"]["acks"] == "all"
    assert dev["channel_mapping"] == {"bar": "devbar"}
    assert dev["connection"] == {"bootstrap.servers": "dev.example.net:9092"}
    assert dev["configuration"] == {"acks": 1, "retries": 5}


def test_a_tag_that_nothing_has(rules):
    where = ask(rules, "kafka://example.com/bar", extra=[("kafka.env", "moon")])
    assert where == (404, {"message": "No matching routing rule found"})
    profile = ask(rules, "kafka://example.com/bar", extra=[("config_profile.type", "consumer")])
    assert profile == (404, {"message": "Configuration profile not found: durableWrite"})


def test_parameters_of_ones_own_change_nothing(rules):
    plain = ask(rules, "kafka://example.com/bar")
    more = ask(rules, "kafka://example.com/bar", extra=[("intent", "produce"), ("client_id", "me")])
    assert more == plain


# Errors, in the words of the existing service.


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ([("channel", "kafka://example.com/bar")], 400, REQUIRED),
        ([PROFILE], 400, REQUIRED),
        ([PROFILE, ("channel[]", "kafka://example.com/bar")], 400, REQUIRED),
        ([("config_profile", ""), ("channel", "kafka://example.com/bar")], 400, REQUIRED),
        ([], 400, REQUIRED),
        ([PROFILE, ("channel", "")], 400, "Invalid channel URL"),
        ([PROFILE, ("channel", "bar")], 400, "Invalid channel URL"),
        ([PROFILE, ("channel", "kafka://example.com")], 400, "Invalid channel URL"),
        ([PROFILE, ("channel", "kafka://example.com/")], 400, "Invalid channel URL"),
        (
            [PROFILE, ("channel[0]", "kafka://example.com/bar"), ("channel[1]", "kafka://a.org/b")],
            400,
            "All channels must have the same scheme and host",
        ),
        (
            [PROFILE, ("channel[0]", "kafka://a.org/b"), ("channel[1]", "mqtt://a.org/c")],
            400,
            "All channels must have the same scheme and host",
        ),
        (
            [PROFILE, ("kafka.env", "prod"), ("channel", "kafka://nowhere.net/bar")],
            404,
            "No matching routing rule found",
        ),
        (
            [("config_profile", "bogus"), ("channel", "kafka://example.com/bar")],
            404,
            "Configuration profile not found: bogus",
        ),
    ],
)
def test_refusals(rules, query, status, message):
    assert answer(rules, "user1", query) == (status, {"message": message})


@pytest.mark.parametrize(
    "query",
    [
        [PROFILE, ("channel", "kafka://example.com/bar"), ("channel", "kafka://example.com/baz")],
        [PROFILE, ("channel[0]", "kafka://a.org/b"), ("channel[0]", "kafka://a.org/c")],
        [PROFILE, ("channel", "kafka://a.org/b"), ("channel[0]", "kafka://a.org/c")],
        [PROFILE, ("config_profile", "other"), ("channel", "kafka://example.com/bar")],
    ],
)
def test_ambiguous_questions_are_a_400_where_the_existing_service_says_500(rules, query):
    status, body = answer(rules, "user1", query)
    assert status == 400
    assert body["message"]


def test_caller_without_credentials(rules):
    status, body = ask(rules, "kafka://example.com/bar", caller="user2")
    assert status == 404
    assert body["message"].startswith("Credential not found: ")
    assert "user2" not in body["message"]


def test_unset_secret_is_an_empty_string(rules, monkeypatch):
    monkeypatch.delenv("CC_PASS1")
    status, body = ask(rules, "kafka://example.com/bar")
    assert status == 200
    assert body["credentials"]["sasl.password"] == ""
    assert body["credentials"]["sasl.username"] == "kafka-user"


# Several channels.


def test_channels_of_one_cluster(rules):
    status, body = ask(rules, "kafka://example.com/bar", "kafka://example.com/baz")
    assert status == 200
    assert body["channel_mapping"] == {"bar": "c0t3", "baz": "c0t4"}
    assert body["routes"]["kafka://example.com/bar"]["topic"] == "c0t3"
    assert body["routes"]["kafka://example.com/baz"] == {
        "connection": body["connection"],
        "credentials": body["credentials"],
        "configuration": body["configuration"],
        "topic": "c0t4",
        "cluster_id": "abcdefghijklmnopqrstuv",
        "start_at": "earliest",
        "generation": 7,
    }


def test_one_numbered_channel_is_answered_like_a_plain_one(rules):
    plain = ask(rules, "kafka://example.com/bar")
    assert answer(rules, "user1", [PROFILE, ("channel[0]", "kafka://example.com/bar")]) == plain


def test_an_unknown_key_among_several_is_absent(rules):
    status, body = ask(rules, "kafka://example.com/bar", "kafka://example.com/nope")
    assert status == 200
    assert body["channel_mapping"] == {"bar": "c0t3"}
    assert list(body["routes"]) == ["kafka://example.com/bar"]


def test_channels_of_two_clusters_are_kept_apart(rules):
    status, body = ask(rules, "kafka://example.com/baz", "kafka://example.com/c1/orders")
    assert status == 200
    assert body["connection"] == {"bootstrap.servers": "b1.example.net:9092"}
    assert body["channel_mapping"] == {"baz": "c0t4"}, "orders lives elsewhere"
    orders = body["routes"]["kafka://example.com/c1/orders"]
    assert orders["connection"] == {"bootstrap.servers": "b2.example.net:9092"}
    assert orders["topic"] == "c1t1"


def test_a_key_that_means_two_topics_is_left_out(rules):
    _, body = ask(rules, "kafka://example.com/bar", "kafka://example.com/c1/bar")
    assert body["channel_mapping"] == {}
    assert {uri: route["topic"] for uri, route in body["routes"].items()} == {
        "kafka://example.com/bar": "c0t3",
        "kafka://example.com/c1/bar": "c1t0",
    }


def test_open_rules_need_no_caller_and_no_credentials():
    rules = parse_rules(OPEN_RULES)
    status, body = answer(
        rules, None, [("config_profile", "default"), ("channel", "kafka://any.net/orders")]
    )
    assert status == 200
    assert body["credentials"] == {}
    assert body["channel_mapping"] == {"orders": "orders-v1"}


def test_credentials_for_some_clusters_and_for_anyone():
    rules = parse_rules(
        """
clusters:
  - name: a
    connection: {bootstrap.servers: a:1}
    rules: [{match: {host: a}, lookup: {table: {x: ax}}}]
  - name: b
    connection: {bootstrap.servers: b:1}
    rules: [{match: {host: b}, lookup: {table: {x: bx}}}]
profiles: [{name: p, settings: {}}]
credentials:
  - {caller: u, clusters: [a], values: {sasl.username: ua}}
  - {caller: "*", values: {sasl.username: anyone}}
callers: [{name: u, password: x}]
"""
    )

    def user(caller, host):
        query = [("config_profile", "p"), ("channel", f"kafka://{host}/x")]
        return answer(rules, caller, query).body["credentials"]["sasl.username"]

    assert user("u", "a") == "ua"
    assert user("u", "b") == "anyone"
    assert user("v", "a") == "anyone"
