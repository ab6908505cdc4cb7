"""The rules engine as a pure function: patterns, who asks, and schema registries."""

from __future__ import annotations

import pytest

from kafkaroute.rules.loader import parse_rules

from . import rules_world
from .rules_world import ask

_secrets = rules_world._secrets
rules = rules_world.rules


# Patterns.

PATTERNS = """
clusters:
  - name: east
    connection: {bootstrap.servers: "e:1"}
    rules:
      - match: {host: 'example\\.com', path: '/orders/(eu|us|x)'}
        lookup: {table: {eu: orders-eu, us: orders-us, de: orders-de, "a/b": nn}}
      - match: {host: 'example\\.com', path: '/logs/[a-z]+/.*'}
        transform: "{segment:2}.{key}"
  - name: west
    connection: {bootstrap.servers: "w:1"}
    rules:
      - match: {host: 'example\\.com', path: '/orders/.*'}
        lookup: {segment: 2, table: {za: orders-za, eu: shadowed}}
profiles: [{name: durableWrite, settings: {}}]
"""


def ask_pattern(text, channel, *extra, rules=PATTERNS):
    return ask(parse_rules(rules + text), channel, extra=extra, caller=None)


def test_a_pattern_channel_is_answered_with_all_that_tables_name():
    status, body = ask_pattern("", "kafka://example.com/orders/*", ("intent", "consume"))
    assert status == 200
    # Another cluster's topics cannot be read with this connection: `routes` has them.
    assert body["channel_mapping"] == {"eu": "orders-eu", "us": "orders-us"}
    assert body["connection"] == {"bootstrap.servers": "e:1"}
    assert {uri: route["topic"] for uri, route in body["routes"].items()} == {
        "kafka://example.com/orders/eu": "orders-eu",
        "kafka://example.com/orders/us": "orders-us",
        "kafka://example.com/orders/za": "orders-za",
    }
    assert body["routes"]["kafka://example.com/orders/za"]["connection"] == {
        "bootstrap.servers": "w:1"
    }


def test_moved_channels_belong_to_their_pattern():
    moves = (
        "moves:\n"
        "  - {channel: 'kafka://example.com/orders/eu', cluster: west, topic: o}\n"
        "  - {channel: 'kafka://example.com/orders/new', cluster: east, topic: n}\n"
        "  - {channel: 'kafka://example.com/logs/x/new', cluster: east, topic: l}\n"
    )
    _, body = ask_pattern(moves, "kafka://example.com/orders/*")
    topics = {uri.rpartition("/")[2]: route["topic"] for uri, route in body["routes"].items()}
    assert topics == {"eu": "o", "new": "n", "us": "orders-us", "za": "orders-za"}


def test_a_pattern_that_matches_nothing_yet():
    status, body = ask_pattern("", "kafka://example.com/logs/app/*")
    assert (status, body["channel_mapping"], body["routes"]) == (200, {}, {})
    assert body["connection"] == {"bootstrap.servers": "e:1"}
    assert ask_pattern("", "kafka://example.org/orders/*").status == 404


@pytest.mark.parametrize(
    ("channel", "extra"),
    [
        ("kafka://example.com/*/eu", ()),
        ("kafka://example.com/*/*", ()),
        ("kafka://example.com/orders/e*", ()),
        ("kafka://example.com/orders/**", ()),
        ("kafka://example.com/orders/*", (("intent", "produce"),)),
    ],
)
def test_patterns_that_are_none(channel, extra):
    status, body = ask_pattern("", channel, *extra)
    assert (status, body["message"].startswith("A pattern channel")) == (400, True)


def test_a_pattern_stands_alone():
    rules = parse_rules(PATTERNS)
    assert ask(rules, "kafka://example.com/orders/*", "kafka://example.com/orders/eu").status == 400


def test_a_pattern_that_would_be_tried_on_too_many(monkeypatch):
    monkeypatch.setattr("kafkaroute.rules.places.MAX_MATCHES", 3)
    status, body = ask_pattern("", "kafka://example.com/orders/*")
    assert (status, "more than 3" in body["message"]) == (400, True)


# Who asks.


def test_predicates_on_who_asks_what_for():
    rules = parse_rules(
        """
clusters:
  - name: c
    connection: {bootstrap.servers: "c:1"}
    rules:
      - {match: {caller: 'bill.*', intent: produce}, transform: "{key}-in"}
      - {match: {client_id: 'canary-[0-9]+'}, transform: "{key}-canary"}
      - transform: "{key}"
callers: [{name: billing, password: x}, {name: reports, password: x}]
profiles: [{name: durableWrite, settings: {}}]
"""
    )

    def topic(caller, *extra):
        return ask(rules, "kafka://h/a", extra=extra, caller=caller).body["channel_mapping"]["a"]

    assert topic("billing", ("intent", "produce")) == "a-in"
    assert topic("billing", ("intent", "consume")) == "a"
    assert topic("billing") == "a"
    assert topic("reports", ("intent", "produce")) == "a"
    assert topic("reports", ("client_id", "canary-7")) == "a-canary"
    assert topic(None, ("client_id", "canary-")) == "a"


def test_schema_registry():
    rules = parse_rules(
        """
callers: [{name: user1, password: x}, {name: user2, password: x}]
credentials:
  - {caller: user1, values: {}, schema_registry: {basic.auth.user.info: "{vault://env/cc-pass1}"}}
  - {caller: "*", values: {}}
clusters:
  - name: c
    connection: {bootstrap.servers: "c:1"}
    schema_registry: {url: "https://r", basic.auth.credentials.source: USER_INFO}
    rules: [{transform: "{key}"}]
profiles: [{name: durableWrite, settings: {}}]
"""
    )
    assert ask(rules, "kafka://h/a").body["schema_registry"] == {
        "url": "https://r",
        "basic.auth.credentials.source": "USER_INFO",
        "basic.auth.user.info": "kafka-pass",
    }
    assert (
        "basic.auth.user.info"
        not in ask(rules, "kafka://h/a", caller="user2").body["schema_registry"]
    )
    assert "kafka-pass" not in repr(rules)
