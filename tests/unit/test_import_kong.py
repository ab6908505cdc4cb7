"""A Kong declarative file becomes rules that answer as the existing service does."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

from kafkaroute.catalog.kong.convert import convert
from kafkaroute.catalog.kong.lua_functions import LuaFunctionError, pieces, template
from kafkaroute.catalog.passwords import Authenticator
from kafkaroute.catalog.rules import answer
from kafkaroute.catalog.rules_loader import load_rules, parse_rules
from kafkaroute.cli import main
from kafkaroute.errors import ConfigurationError

DATA = Path(__file__).parent / "data"
KONG = (DATA / "kong.yml").read_text()
PROFILE = ("config_profile", "durableWrite")
BAR = ("channel", "kafka://example.com/bar")
REQUIRED = "config_profile and channel query parameters are required"
TWO_HOSTS = "All channels must have the same scheme and host"


@pytest.fixture(autouse=True)
def _secrets(monkeypatch):
    monkeypatch.setenv("CC_USER1", "kafka-user")
    monkeypatch.setenv("CC_PASS1", "kafka-pass")
    monkeypatch.setenv("USER3_PASSWORD", "pass3")


@pytest.fixture(scope="module")
def converted():
    return convert(KONG, "kong.yml")


@pytest.fixture(scope="module")
def rules(converted):
    return parse_rules(converted.text)


def test_a_realistic_file_needs_no_hand(converted):
    assert converted.notes == []
    assert "NEEDS A HAND" not in converted.text
    assert "# Kong served it under: /kafka, /catalog" in converted.text


def test_the_whole_answer(rules):
    query = [PROFILE, BAR, ("kafka.env", "prod"), ("config_profile.env", "prod")]
    assert answer(rules, "user1", query) == (
        200,
        {
            "connection": {"bootstrap.servers": "b1.example.net:9092"},
            "credentials": {
                "security.protocol": "SASL_SSL",
                "sasl.mechanisms": "PLAIN",
                "sasl.username": "kafka-user",
                "sasl.password": "kafka-pass",
            },
            "configuration": {"acks": "all", "retries": 3, "enable.idempotence": True},
            "channel_mapping": {"bar": "c0t3"},
        },
    )


@pytest.mark.parametrize(
    ("channel", "tags", "mapping", "servers"),
    [
        ("kafka://example.com/bar", "prod", {"bar": "c0t3"}, "b1"),
        ("kafka://example.com/bar/", "prod", {"bar": "c0t3"}, "b1"),
        ("kafka://example.com/bar?x=1", "prod", {"bar": "c0t3"}, "b1"),
        ("kafka://example.com/baz", "prod", {"baz": "c0t4"}, "b1"),
        ("kafka://example.com/bar", "dev", {"bar": "devbar"}, "dev"),
        # A rule matches, its table has no entry.
        ("kafka://example.com/qux", "prod", {}, "b1"),
        ("kafka://example.com/c1/none", "prod", {}, "b2"),
        # "zzz" does not begin as the key function's keys do.
        ("kafka://example.com/c1/zzz", "prod", {}, "b2"),
        ("kafka://example.com/c1/bar", "prod", {"bar": "c1t0"}, "b2"),
        # Neither predicate is anchored, as in Lua.
        ("kafka://www.example.com/x/c1/y", "prod", {}, "b2"),
        ("kafka://example.org/orders", "prod", {"orders": "c1orders"}, "b2"),
        ("kafka://example.org/deep/a", "prod", {"a": "deep.a-example.org"}, "b1"),
    ],
)
def test_where_channels_live(rules, channel, tags, mapping, servers):
    status, body = answer(rules, "user1", [PROFILE, ("channel", channel), ("kafka.env", tags)])
    assert (status, body["channel_mapping"]) == (200, mapping)
    assert body["connection"] == {"bootstrap.servers": f"{servers}.example.net:9092"}


@pytest.mark.parametrize(
    ("caller", "query", "status", "message"),
    [
        ("user1", [BAR], 400, REQUIRED),
        ("user1", [PROFILE], 400, REQUIRED),
        ("user1", [PROFILE, ("channel[]", BAR[1])], 400, REQUIRED),
        ("user1", [PROFILE, ("channel", "")], 400, "Invalid channel URL"),
        (
            "user1",
            [PROFILE, ("channel[0]", BAR[1]), ("channel[1]", "kafka://example.org/bar")],
            400,
            TWO_HOSTS,
        ),
        (
            "user1",
            [PROFILE, ("channel", "kafka://example.net/bar"), ("kafka.env", "prod")],
            404,
            "No matching routing rule found",
        ),
        (
            "user1",
            [("config_profile", "nope"), BAR],
            404,
            "Configuration profile not found: nope",
        ),
        (
            "user2",
            [PROFILE, BAR],
            404,
            "Credential not found: none for this caller on cluster c0",
        ),
    ],
)
def test_what_is_refused(rules, caller, query, status, message):
    assert answer(rules, caller, query) == (status, {"message": message})


def test_several_channels(rules):
    query = [PROFILE, ("channel[0]", BAR[1]), ("channel[1]", "kafka://example.com/baz")]
    status, body = answer(rules, "user1", query)
    assert (status, body["channel_mapping"]) == (200, {"bar": "c0t3", "baz": "c0t4"})


def test_an_unset_secret_is_an_empty_string(rules, monkeypatch):
    monkeypatch.delenv("CC_PASS1")
    status, body = answer(rules, "user1", [PROFILE, BAR])
    assert (status, body["credentials"]["sasl.password"]) == (200, "")


def test_passwords_are_hashed_and_references_kept(converted, rules):
    callers = Authenticator(rules.callers)
    assert callers.check("user1", "pass1")
    assert callers.check("user2", "pass:2")
    assert callers.check("user3", "pass3")
    assert not callers.check("user1", "pass2")
    assert not callers.check("app1", "pass1")
    assert "pass1\n" not in converted.text
    assert "pass:2" not in converted.text
    assert "{vault://env/cc-pass1}" in converted.text
    assert "{vault://env/user3-password}" in converted.text


# Where the plug-in may stand.

CONFIG = {
    "inventory": {
        "kafka": [
            {
                "name": "only",
                "connection": {"bootstrap.servers": "b:1"},
                "routing_rules": [
                    {
                        "resolve_subject_by": {
                            "type": "lookup",
                            "lookup_key_function": "function(uri) return uri.path[1] end",
                            "lookup_table": {"bar": "t1"},
                        }
                    }
                ],
            }
        ]
    },
    "configuration_profiles": [{"name": "durableWrite", "configs": {"acks": "all"}}],
    "credentials": [{"consumer": "app", "name": "n", "value": {"sasl.username": "u"}}],
}
USERS = {"consumers": [{"username": "app", "basicauth_credentials": [{"username": "u1"}]}]}
USERS["consumers"][0]["basicauth_credentials"][0]["password"] = "p"
PLUGIN = {"name": "service-gateway", "config": CONFIG}


def changed(**more):
    return yaml.safe_dump({**USERS, "plugins": [{**PLUGIN, "config": {**CONFIG, **more}}]})


def with_rule(**rule):
    base = CONFIG["inventory"]["kafka"][0]
    later = {**base, "name": "later", "connection": {"bootstrap.servers": "c:1"}}
    first = {**base, "routing_rules": [{**base["routing_rules"][0], **rule}]}
    return changed(inventory={"kafka": [first, later]})


def topics(text, *channels):
    rules = parse_rules(text)
    found = []
    for channel in channels:
        status, body = answer(rules, "u1", [PROFILE, ("channel", f"kafka://h/{channel}")])
        found.append(dict(body["channel_mapping"]) if status == 200 else status)
    return found


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


# Functions.


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("function(uri) return uri.path[1] end", "{segment:1}"),
        ("function(uri) return 'c1' .. uri.path[1] end", "c1{segment:1}"),
        ("return function(u) return (u.host) .. \".\" .. u['path'][2]; end", "{host}.{segment:2}"),
        (
            "function(uri)\n  return uri.scheme..'-'..uri.path[#uri.path]\nend\n",
            "{scheme}-{segment:-1}",
        ),
        ("function() return 'a' .. [[b]] .. 'it\\'s' end", "abit's"),
    ],
)
def test_functions(source, expected):
    assert template(pieces(source)) == expected


@pytest.mark.parametrize(
    "source",
    [
        "",
        "print(1)",
        "function(uri) local x = 1 return x end",
        "function(uri) if uri then return 'x' end end",
        "function(uri) return 'x' or uri.host end",
        "function(uri) return uri.path[1]:lower() end",
        "function(uri) return uri.path[0] end",
        "function(uri) return uri.pathology end",
        "function(uri) return urinal.host end",
        "function(uri) return 'a\\nb' end",
        "function(uri) return 'a' .. end",
        "function(uri) return 'a' 'b' end",
        "function(uri) return ('a' end",
        "function(uri) return 'a') end",
        "function(uri) return end",
    ],
)
def test_functions_that_need_a_hand(source):
    with pytest.raises(LuaFunctionError):
        pieces(source)


def test_a_brace_has_no_place_in_a_template():
    with pytest.raises(LuaFunctionError, match="brace"):
        template(pieces("function(uri) return '{host}' end"))


# The command.


def test_command_writes_a_file_for_its_owner_alone(tmp_path, capsys):
    out = tmp_path / "rules.yaml"
    argv = ["import-kong", str(DATA / "kong.yml"), "-o", str(out)]
    assert main(argv) == 0
    assert capsys.readouterr() == ("", "")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert [cluster.name for cluster in load_rules(out).clusters] == ["c0", "c1", "dev"]
    assert main(argv) == 2
    assert "is there already" in capsys.readouterr().err


def test_command_says_what_needs_a_hand(tmp_path, capsys):
    kong = tmp_path / "kong.yml"
    kong.write_text(with_rule(predicates=[{"part": "path", "expression": "%f[a]"}]))
    assert main(["import-kong", str(kong)]) == 3
    out, err = capsys.readouterr()
    assert parse_rules(out).clusters[0].name == "only"
    [line] = err.splitlines()
    assert line.startswith(f"kafkaroute: needs a hand: {kong}:")
    assert "Lua pattern '%f[a]'" in line


@pytest.mark.parametrize(
    "content", [None, b"\xff", b"a: [", b"a: 1", b"consumers: [{basicauth_credentials: [{}]}]"]
)
def test_command_with_a_file_that_is_none(content, tmp_path, capsys):
    kong = tmp_path / "kong.yml"
    if content is not None:
        kong.write_bytes(content)
    assert main(["import-kong", str(kong)]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert str(kong) in err
