"""What a wrong rules file is told: file, line, key path."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafkaroute.errors import ConfigurationError
from kafkaroute.rules.file import RulesFile
from kafkaroute.rules.loader import load_rules, parse_rules
from kafkaroute.rules.passwords import Authenticator, hash_password

DATA = Path(__file__).parents[1] / "data"
RULES = (DATA / "contract-rules.yaml").read_text()
OPEN_RULES = (DATA / "open-rules.yaml").read_text()


def edit(old, new, text=OPEN_RULES):
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("text", "line", "path", "words"),
    [
        (edit("clusters:", "cluster:"), 2, "cluster", "did you mean 'clusters'"),
        (edit("    rules:", "    ruels:"), 5, "clusters[0].ruels", "did you mean 'rules'"),
        (edit("lookup:", "lookpu:"), 6, "clusters[0].rules[0].lookpu", "did you mean 'lookup'"),
        (edit("- name: only", "- tags: {}"), 3, "clusters[0]", "'name' is missing"),
        (edit("orders-v1", "a/b"), 6, "table.orders", "is no topic name"),
        (edit("orders-v1", "no"), 6, "table.orders", "found bool: put it in quotes"),
        (edit("orders-v1", ".."), 6, "table.orders", "is no topic name"),
        (edit("{orders: orders-v1}", "{12: x}"), 6, "table", "'12' is read as int"),
        (edit("orders: orders-v1", "a: x, a: y"), 6, "table", "'a' stands here twice"),
        (edit("{linger.ms: 5}", "{linger.ms: [5]}"), 8, "settings.linger.ms", "found a list"),
        (edit("{linger.ms: 5}", "{linger.ms: }"), 8, "settings.linger.ms", "expected a string, a"),
        (edit("{linger.ms: 5}", "nothing"), 8, "settings", "expected a mapping"),
        (edit("bootstrap.servers", "servers"), 4, "connection", "'bootstrap.servers' is missing"),
        (
            edit("- lookup", "- match: {host: '(a'}\n        lookup"),
            6,
            "match.host",
            "not a regular expression (RE2 syntax)",
        ),
        (
            edit("- lookup", "- match: {port: '1'}\n        lookup"),
            6,
            "match.port",
            "unknown key 'port'",
        ),
        (
            edit("- lookup: {table: {orders: orders-v1}}", '- transform: "{nope}"'),
            6,
            "transform",
            "unknown placeholder {nope}",
        ),
        (
            edit("- lookup: {table: {orders: orders-v1}}", '- transform: "a{key"'),
            6,
            "transform",
            "brace",
        ),
        (
            edit("- lookup: {table: {orders: orders-v1}}", '- transform: "{segment:0}"'),
            6,
            "transform",
            "segments count from 1",
        ),
        (
            edit("{table: {orders: orders-v1}}", "{segment: 0, table: {}}"),
            6,
            "segment",
            "segments count from 1",
        ),
        (
            edit("orders: orders-v1", "orders: {topic: t, start_at: noon}"),
            6,
            "start_at",
            "RFC 3339",
        ),
        (
            edit("orders: orders-v1", "orders: {topic: t, start_at: 2024-01-01}"),
            6,
            "start_at",
            "RFC 3339",
        ),
        (
            edit("orders: orders-v1", "orders: {topic: t, generation: yes}"),
            6,
            "generation",
            "whole number",
        ),
        (OPEN_RULES + "version: 2\n", 9, "version", "version 1"),
        (OPEN_RULES + "cache: {max_age: -1}\n", 9, "cache.max_age", "number of seconds"),
        (
            OPEN_RULES + "credentials: [{caller: x, values: {}}]\n",
            9,
            "credentials[0].caller",
            "not among 'callers'",
        ),
        (
            OPEN_RULES + 'credentials: [{caller: "*", clusters: [x], values: {}}]\n',
            9,
            "credentials[0].clusters[0]",
            "no cluster is named 'x'",
        ),
        (
            OPEN_RULES + 'credentials: [{caller: "*", values: {a: "{vault://aws/x}"}}]\n',
            9,
            "credentials[0].values.a",
            "unknown secret store 'aws'",
        ),
        (OPEN_RULES + "callers: [{name: x}]\n", 9, "callers[0]", "either 'password' or"),
        (
            OPEN_RULES + "callers: [{name: x, password_hash: md5}]\n",
            9,
            "callers[0].password_hash",
            "kafkaroute hash-password",
        ),
        (
            OPEN_RULES + "callers: [{name: 'a:b', password: x}]\n",
            9,
            "callers[0].name",
            "holds no colon",
        ),
    ],
)
def test_errors_name_line_and_path(text, line, path, words):
    with pytest.raises(ConfigurationError) as caught:
        parse_rules(text, "my.yaml")
    message = str(caught.value)
    assert message.startswith(f"my.yaml:{line}: ")
    assert path in message
    assert words in message


@pytest.mark.parametrize(
    "text", ["", "a: [", "a: b\n---\nc: d\n", "- 1", "a: !!python/object:os.x", "<<: 3"]
)
def test_what_is_no_rules_file_at_all(text):
    with pytest.raises(ConfigurationError, match=r"^my\.yaml"):
        parse_rules(text, "my.yaml")


def test_two_clusters_of_one_name():
    text = edit(
        "profiles:",
        "  - {name: only, connection: {bootstrap.servers: x}, rules: []}\nprofiles:",
    )
    with pytest.raises(ConfigurationError, match="two clusters are named 'only'"):
        parse_rules(text)


def test_anchors_and_merge_keys_work():
    rules = parse_rules(
        """
clusters: []
profiles:
  - {name: base, settings: &base {linger.ms: 5, acks: all}}
  - {name: fast, settings: &fast {<<: *base, acks: 1}}
  - {name: again, settings: *fast}
"""
    )
    assert dict(rules.profiles[1].settings) == {"linger.ms": 5, "acks": 1}
    assert dict(rules.profiles[2].settings) == {"linger.ms": 5, "acks": 1}


def test_yaml_timestamps_are_start_times():
    rules = parse_rules(edit("orders-v1", "{topic: t, start_at: 2024-01-02T03:04:05Z}"))
    (rule,) = rules.clusters[0].rules
    assert rule.topic.table["orders"].start_at == "2024-01-02T03:04:05+00:00"


def test_missing_file(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file"):
        load_rules(tmp_path / "absent.yaml")


def test_secrets_stay_out_of_reprs():
    rules = parse_rules(RULES.replace("{vault://env/cc-pass1}", "s3cr3t"))
    assert "s3cr3t" not in repr(rules)
    assert "pass1" not in repr(rules)


def test_linear_time_expressions():
    """A pattern that takes a backtracking engine hours."""
    rules = parse_rules(edit("- lookup", "- match: {path: '/(a+)+b'}\n        lookup"))
    from kafkaroute.rules.answer import answer

    query = [("config_profile", "default"), ("channel", "kafka://h/" + "a" * 900)]
    assert answer(rules, None, query).status == 404
    query[1] = ("channel", "kafka://h/" + "a" * 1000)
    assert answer(rules, None, query).status == 400


# Passwords.


def test_passwords_plain_hashed_and_referenced(monkeypatch):
    hashed = hash_password("open sesame")
    rules = parse_rules(
        OPEN_RULES
        + f"""
callers:
  - {{name: plain, password: "p\u00e4ss"}}
  - {{name: hashed, password_hash: "{hashed}"}}
  - {{name: kept, password: "{{vault://env/kr-pw}}"}}
"""
    )
    check = Authenticator(rules.callers).check
    assert check("plain", "p\u00e4ss")
    assert not check("plain", "pass")
    assert check("hashed", "open sesame")
    assert check("hashed", "open sesame"), "also from what is remembered"
    assert not check("hashed", "open")
    assert not check("nobody", "")
    assert not check("kept", ""), "a secret that is not set opens nothing"
    monkeypatch.setenv("KR_PW", "pw")
    assert check("kept", "pw")
    assert not check("kept", "")


# Reading again.


def write(path, text, stamp):
    import os

    path.write_text(text)
    os.utime(path, ns=(stamp, stamp))


def test_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "rules.yaml"
    write(path, OPEN_RULES, 1)
    file = RulesFile(path)
    assert not file.refresh()
    write(path, OPEN_RULES.replace("orders-v1", "orders-v2"), 2)
    assert file.refresh()
    assert file.current[0].clusters[0].rules[0].topic.table["orders"].topic == "orders-v2"


def test_a_broken_edit_keeps_the_last_good_rules(tmp_path, caplog):
    path = tmp_path / "rules.yaml"
    write(path, OPEN_RULES, 1)
    file = RulesFile(path)
    before = file.current
    write(path, "clusters: [", 2)
    assert not file.refresh()
    assert not file.refresh()
    path.unlink()
    assert not file.refresh()
    assert file.current is before
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 2, "once for the broken edit, once for the missing file"
    assert "not valid YAML" in errors[0]
    write(path, OPEN_RULES, 3)
    assert file.refresh(), "a repaired file is in force again"


def test_the_documented_example_is_sound():
    document = Path(__file__).parents[3] / "docs" / "rules.md"
    text = document.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    rules = parse_rules(text.replace("scrypt$16384$8$1$…", hash_password("x")), "docs/rules.md")
    assert [cluster.name for cluster in rules.clusters] == ["east"]
    assert len(rules.clusters[0].rules) == 3
    assert set(rules.callers) == {"billing", "reports"}
