"""A Kong declarative file becomes rules that answer as the existing service does."""

from __future__ import annotations

import stat

import pytest

from kafkaroute.cli import main
from kafkaroute.cli.kong.convert import convert
from kafkaroute.cli.kong.lua_functions import LuaFunctionError, pieces, template
from kafkaroute.rules.answer import answer
from kafkaroute.rules.loader import load_rules, parse_rules
from kafkaroute.rules.passwords import Authenticator

from .kong_files import BAR, DATA, KONG, PROFILE, REQUIRED, TWO_HOSTS, with_rule


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
