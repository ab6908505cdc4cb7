"""What shapes a Kong declarative file may have, and what needs a hand."""

from __future__ import annotations

import pytest
import yaml

from kafkaroute.cli.kong.convert import convert
from kafkaroute.errors import ConfigurationError
from kafkaroute.rules.answer import answer
from kafkaroute.rules.loader import parse_rules
from kafkaroute.rules.passwords import Authenticator

from .kong_files import BAR, CONFIG, PLUGIN, PROFILE, USERS, changed, topics, with_rule

SHAPES = {
    "top level": {"plugins": [PLUGIN]},
    "top level, for a route": {
        "plugins": [{**PLUGIN, "route": "r"}],
        "services": [{"name": "s", "routes": [{"name": "r", "paths": ["/p"]}]}],
    },
    "top level, for a service": {
        "plugins": [{**PLUGIN, "service": {"name": "s"}}],
        "services": [{"name": "s"}],
        "routes": [{"name": "r", "service": "s", "paths": ["/p"]}],
    },
    "service": {"services": [{"name": "s", "plugins": [PLUGIN], "routes": [{"paths": ["/p"]}]}]},
    "route of a service": {"services": [{"routes": [{"paths": ["/p"], "plugins": [PLUGIN]}]}]},
    "route by itself": {"routes": [{"paths": ["/p"], "plugins": [PLUGIN]}]},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_where_the_plugin_stands(shape):
    text, notes = convert(yaml.safe_dump({**USERS, **SHAPES[shape]}), "kong.yml")
    assert notes == []
    assert topics(text, "bar", "foo") == [{"bar": "t1"}, {}]
    assert ("# Kong served it under: /p" in text) is (shape != "top level")


def test_which_plugin():
    two = yaml.safe_dump({**USERS, "plugins": [PLUGIN], "routes": [{"plugins": [PLUGIN]}]})
    with pytest.raises(ConfigurationError, match=r"2 times.*--plugin N \(1: plugins\[0\]; 2: rout"):
        convert(two, "kong.yml")
    assert topics(convert(two, "kong.yml", 2).text, "bar") == [{"bar": "t1"}]
    with pytest.raises(ConfigurationError, match="must be 1 to 2"):
        convert(two, "kong.yml", 3)
    off = yaml.safe_dump({"plugins": [{**PLUGIN, "enabled": False}]})
    with pytest.raises(ConfigurationError, match="no enabled service-gateway plug-in"):
        convert(off, "kong.yml")


# What needs a hand: said with its place, and never a way to another cluster.


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"predicates": [{"part": "path", "expression": "%b()"}]}, "Lua pattern '%b()'"),
        ({"predicates": [{"part": "path", "expression": "^/bar/$"}]}, "slash at the path's end"),
        ({"predicates": [{"part": "query", "expression": "x"}]}, "a predicate on none of"),
        ({"predicates": [{"part": "path"}]}, "without an expression"),
        ({"predicates": [{"part": "host", "expression": "^H$"}]}, "asks for capitals"),
        (
            {
                "predicates": [
                    {"part": "path", "expression": "b"},
                    {"part": "path", "expression": "a"},
                ]
            },
            "a second expression for the path",
        ),
        ({"resolve_subject_by": {"type": "guess"}}, "unknown type 'guess'"),
        ({"resolve_subject_by": {"type": "lookup"}}, "without its function"),
        (
            {
                "resolve_subject_by": {
                    "type": "transform",
                    "transform_function": "function(uri) return string.lower(uri.host) end",
                }
            },
            "transform function: 'string.lower'",
        ),
        (
            {
                "resolve_subject_by": {
                    "type": "lookup",
                    "lookup_key_function": "function(u) return u.host .. u.path[1] end",
                    "lookup_table": {},
                }
            },
            "several parts",
        ),
        (
            {
                "resolve_subject_by": {
                    "type": "transform",
                    "transform_function": "function(uri) return uri.query.topic end",
                }
            },
            "the channel's query",
        ),
    ],
)
def test_a_rule_that_needs_a_hand_blocks_its_channels(rule, reason):
    text, notes = convert(with_rule(**rule), "kong.yml")
    [note] = notes
    assert reason in note
    assert note.startswith("kong.yml:")
    assert "plugins[0].config.inventory.kafka[0].routing_rules[0]" in note
    assert f"# NEEDS A HAND: {note}" in text
    # Not the later cluster's t1.
    assert topics(text, "bar") == [{}]


def test_other_things_that_need_a_hand():
    table = {"bar": "no topic!", "foo": "t2"}
    lookup = CONFIG["inventory"]["kafka"][0]["routing_rules"][0]["resolve_subject_by"]
    text, notes = convert(
        with_rule(resolve_subject_by={**lookup, "lookup_table": table}), "kong.yml"
    )
    assert "no topic name" in notes[0]
    assert topics(text, "bar", "foo") == [{}, {"foo": "t2"}]

    text, notes = convert(
        changed(
            credentials=[
                {"consumer": "nobody", "value": {"a": "b"}},
                {
                    "consumer": "app",
                    "value": {
                        "a": "{vault://aws/x}",
                        "b": [1],
                        "c": "{vault://env/x}",
                        "d": "{vault://hcv/kafka/password}",
                    },
                },
                {"consumer": "app", "value": {}},
            ],
            configuration_profiles=[
                {
                    "name": "durableWrite",
                    "tags": ["x"],
                    "configs": {"retries": {"value": "x", "type": "number"}, "acks": "all"},
                }
            ],
        ),
        "kong.yml",
    )
    assert [note.split(": ", 2)[2] for note in notes] == [
        "credentials of a consumer without a basic-auth user; left out",
        "unknown secret store 'aws'; known: env, file, hcv; left out",
        "neither a string, a number nor a boolean; left out",
        "a second entry for this consumer; left out",
        "expected a number",
        "tags that are not a mapping; left out",
    ]
    rules = parse_rules(text)
    assert rules.profiles[0].settings == {"acks": "all"}
    assert rules.credentials[0].values == {
        "c": "{vault://env/x}",
        "d": "{vault://hcv/kafka/password}",
    }


def test_without_users_nobody_gets_credentials():
    text, notes = convert(yaml.safe_dump({"plugins": [PLUGIN]}), "kong.yml")
    assert ["no basic-auth users" in notes[0], "without a basic-auth user" in notes[1]] == [
        True
    ] * 2
    assert answer(parse_rules(text), None, [PROFILE, BAR]).status == 404


def test_users_that_cannot_be_taken_over_do_not_open_the_door():
    users = {"basicauth_credentials": [{"consumer": "app", "username": "u1"}]}
    text, notes = convert(yaml.safe_dump({**users, "plugins": [PLUGIN]}), "kong.yml")
    assert len(notes) == 3
    callers = Authenticator(parse_rules(text).callers)
    assert not callers.open_to_all
    assert not callers.check("nobody", "")


def test_a_cluster_without_servers_keeps_its_place():
    base = CONFIG["inventory"]["kafka"][0]
    twice = [{**base, "connection": {"bootstrap.servers": "{vault://env/x}"}}, base]
    text, notes = convert(changed(inventory={"kafka": twice}), "kong.yml")
    assert len(notes) == 3
    first, second = parse_rules(text).clusters
    assert first.connection == {"bootstrap.servers": "needs-a-hand.invalid:9092"}
    assert (first.name, second.name) == ("only", "only-2")


@pytest.mark.parametrize(
    "value", ["yes", "3", "a'b", "a: b", "# x", "", "a\tb", "\u00fc", 7, 1e300, True]
)
def test_settings_survive_the_writing(value):
    profile = {"name": "durableWrite", "configs": {"some.key": value, "other-key": 1.5}}
    text, notes = convert(changed(configuration_profiles=[profile]), "kong.yml")
    assert notes == []
    settings = parse_rules(text).profiles[0].settings
    assert settings == {"some.key": value, "other-key": 1.5}
    assert type(settings["some.key"]) is type(value)


def test_classes_and_sets_are_no_capitals():
    rule = {"predicates": [{"part": "host", "expression": "^%W?[A-Za-z]%S-$"}]}
    text, notes = convert(with_rule(**rule), "kong.yml")
    assert notes == []
    assert topics(text, "bar") == [{"bar": "t1"}]
