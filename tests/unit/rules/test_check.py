"""``kafkaroute check``: every problem, and what is probably not meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafkaroute.cli import main
from kafkaroute.errors import ConfigurationError
from kafkaroute.rules.check import check_rules
from kafkaroute.rules.loader import parse_rules
from kafkaroute.rules.passwords import hash_password

DATA = Path(__file__).parents[1] / "data"
CONTRACT = (DATA / "contract-rules.yaml").read_text()
OPEN = (DATA / "open-rules.yaml").read_text()

BROKEN = r"""version: 2
wat: 1
clusters:
  - name: a
    conection: {}
    rules:
      - match: {host: '(', paht: x, path: '['}
        lookup:
          segment: 0
          table:
            a: "no topic"
            b: x
            b: y
            no: z
            c: {topic: t, start_at: noon, generation: x}
      - transform: "{nope}"
      - {}
      - transform: {template: "{1}", part: moon, start_at: noon}
      - lookup: {segment: 1, pattern: x, table: {a: b}}
  - name: a
    connection: {x: 1}
    tags: {a: 1, b: 2}
    rules: 7
  - 3
profiles:
  - settings: {acks: {value: x, type: number}, a: "{vault://env/x}", b: [1]}
callers:
  - {name: "a:b"}
  - {name: u, password: x, password_hash: y}
  - {name: u, password: "{vault://moon/x}"}
credentials:
  - {caller: w, clusters: [q], values: {a: "{vault://moon/x}", b: [2]}}
cache: {max_age: -1, stale_if_error: x}
"""
EXPECTED = """\
1: version: this release reads version 1
2: wat: unknown key
4: clusters[0]: 'connection' is missing
5: clusters[0].conection: unknown key 'conection'; did you mean 'connection'?
7: clusters[0].rules[0].match.host: not a regular expression
7: clusters[0].rules[0].match.paht: unknown key 'paht'; did you mean 'path'?
7: clusters[0].rules[0].match.path: not a regular expression
9: clusters[0].rules[0].lookup.segment: segments count from 1
11: clusters[0].rules[0].lookup.table.a: 'no topic' is no topic name
13: clusters[0].rules[0].lookup.table: 'b' stands here twice
14: clusters[0].rules[0].lookup.table: the key 'no' is read as bool: put it in quotes
15: clusters[0].rules[0].lookup.table.c.generation: expected a whole number
15: clusters[0].rules[0].lookup.table.c.start_at: expected earliest, latest or
16: clusters[0].rules[1].transform: unknown placeholder {nope}
17: clusters[0].rules[2]: a rule has either 'lookup' or 'transform'
18: clusters[0].rules[3].transform.part: expected scheme, host, path or uri
18: clusters[0].rules[3].transform.start_at: expected earliest, latest or
18: clusters[0].rules[3].transform.template: unknown placeholder {1}
19: clusters[0].rules[4].lookup: the key is taken either by 'segment' or by 'pattern'
20: clusters[1]: two clusters are named 'a'
21: clusters[1].connection: 'bootstrap.servers' is missing
22: clusters[1].tags.a: expected a string, found int
22: clusters[1].tags.b: expected a string, found int
23: clusters[1].rules: expected a list
24: clusters[2]: expected a mapping
26: profiles[0]: 'name' is missing
26: profiles[0].settings.a: secret references belong under credentials
26: profiles[0].settings.acks.value: expected a number
26: profiles[0].settings.b: expected a single value
28: callers[0].name: a user name holds no colon
28: callers[0]: a caller has either 'password' or 'password_hash'
29: callers[1]: a caller has either 'password' or 'password_hash'
30: callers[2].password: unknown secret store 'moon'
30: callers[2]: this caller stands here twice
32: credentials[0].caller: this caller is not among 'callers'
32: credentials[0].clusters[0]: no cluster is named 'q'
32: credentials[0].values.a: unknown secret store 'moon'
32: credentials[0].values.b: expected a single value
33: cache.max_age: expected a number of seconds
33: cache.stale_if_error: expected a number of seconds
"""


def test_every_problem_is_found_with_its_place():
    rules, problems, warnings = check_rules(BROKEN, "r.yaml", {})
    assert rules is None
    assert warnings == []
    lines = [int(problem.split(":")[1]) for problem in problems]
    assert lines == sorted(lines)
    found = sorted(problem.removeprefix("r.yaml:") for problem in problems)
    expected = sorted(EXPECTED.splitlines())
    missing = [text for text in expected if not any(p.startswith(text) for p in found)]
    unforeseen = [p for p in found if not any(p.startswith(text) for text in expected)]
    assert (missing, unforeseen) == ([], [])
    assert len(found) == len(expected)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("clusters:", "clutsers:"),
        ("host: 'example\\.com'", "host: 'example('"),
        ("bar: c0t3", "bar: 'c0 t3'"),
        ("generation: 7", "generation: seven"),
        ("start_at: earliest", "start_at: noon"),
        ("{segment: 2, table", "{segment: 0, table"),
        ('"deep.{segment:2}.{key}"', '"deep.{segment:2}.{"'),
        ('template: "{team}-{2}"', 'template: "{team}-{3}"'),
        ("acks: all", "acks: [all]"),
        ("type: number", "type: float"),
        ("caller: user1", "caller: user3"),
        ("password: pass2", "pasword: pass2"),
        ("- name: c1", "- name: c0"),
        ("tags: {env: dev}", "tags: {env: no}"),
        ("{vault://env/cc-user1}", "{vault://env/}"),
        ("version: 1", "version: one"),
        ("profiles:", "profiles: 1\nprofile:"),
        ("profiles:", "\tprofiles:"),
    ],
)
def test_what_the_loader_refuses_is_found_in_its_words(old, new):
    text = CONTRACT.replace(old, new, 1)
    assert text != CONTRACT
    with pytest.raises(ConfigurationError) as refused:
        parse_rules(text, "r.yaml")
    rules, problems, _ = check_rules(text, "r.yaml", {})
    assert rules is None
    assert str(refused.value) in problems


@pytest.mark.parametrize("text", ["", "[]", "a: [", "a: &x {b: *x}", "- 1\n---\n- 2"])
def test_what_is_no_rules_file(text):
    rules, problems, _ = check_rules(text, "r.yaml", {})
    assert rules is None
    assert problems
    assert all(problem.startswith("r.yaml:") for problem in problems)


def test_each_double_key_is_named():
    text = OPEN.replace("orders: orders-v1", "a: x, b: x, a: y, b: y")
    problems = check_rules(text, "r.yaml", {}).problems
    assert problems == [
        "r.yaml:6: clusters[0].rules[0].lookup.table: 'a' stands here twice",
        "r.yaml:6: clusters[0].rules[0].lookup.table: 'b' stands here twice",
    ]


# Warnings.


def warnings_of(text, environ=None):
    rules, problems, warnings = check_rules(text, "r.yaml", environ or {})
    assert problems == []
    assert rules is not None
    return warnings


def test_a_sound_file_is_free_of_warnings():
    assert warnings_of(OPEN) == []


def rules_of(*clusters):
    made = ["clusters:"]
    for number, (tags, matches) in enumerate(clusters):
        made += [
            f"  - name: c{number}",
            "    connection: {bootstrap.servers: 'b:1'}",
            f"    tags: {tags}",
            "    rules:",
            *(f"      - {{match: {match}, transform: '{{key}}'}}" for match in matches),
        ]
    return "\n".join([*made, "profiles: []"])


HIDDEN = "never matches: clusters[0].rules[0] (line 6) comes first and takes all its channels"


@pytest.mark.parametrize(
    ("clusters", "place"),
    [
        ([("{}", ["{host: a}", "{host: a}"])], "r.yaml:7: clusters[0].rules[1]"),
        ([("{}", ["{host: a}", "{path: /b, host: a}"])], "r.yaml:7: clusters[0].rules[1]"),
        ([("{}", ["{}", "{host: a}"])], "r.yaml:7: clusters[0].rules[1]"),
        ([("{}", ["{path: '.*'}", "{host: a}"])], "r.yaml:7: clusters[0].rules[1]"),
        ([("{}", ["{host: a}"]), ("{}", ["{host: a}"])], "r.yaml:11: clusters[1].rules[0]"),
        ([("{e: p}", ["{host: a}"]), ("{e: p}", ["{host: a}"])], "r.yaml:11: clusters[1].rules[0]"),
        ([("{e: p}", ["{host: a}"]), ("{}", ["{host: a}"])], "r.yaml:11: clusters[1].rules[0]"),
        # Not hidden.
        ([("{}", ["{host: a}", "{host: b}"])], None),
        ([("{}", ["{host: a, path: /b}", "{host: a}"])], None),
        ([("{}", ["{host: a}", "{path: a}"])], None),
        ([("{e: p}", ["{host: a}"]), ("{e: d}", ["{host: a}"])], None),
        ([("{}", ["{host: a}"]), ("{e: d}", ["{host: a}"])], None),
    ],
)
def test_a_rule_that_never_has_its_turn(clusters, place):
    assert warnings_of(rules_of(*clusters)) == ([f"{place}: {HIDDEN}"] if place else [])


@pytest.mark.parametrize(
    ("setting", "warning"),
    [
        ("security.protocol: SSL", "undoes SASL_SSL: a profile is merged after the credentials"),
        ("security.protocol: SASL_SSL", None),
        (
            "sasl.mechanism: GSSAPI",
            "replaces 'sasl.mechanism' of the connection or the credentials",
        ),
        (
            "metadata.broker.list: 'evil:1'",
            "replaces 'metadata.broker.list' of the connection or the credentials",
        ),
        (
            "ssl.key.password: hunter2",
            "a secret in plain text: use a reference such as {vault://env/name}",
        ),
    ],
)
def test_a_profile_that_undoes_what_secures_the_connection(setting, warning):
    text = CONTRACT.replace("settings: {acks: all,", f"settings: {{{setting},")
    found = warnings_of(text)
    new = [w for w in found if w not in warnings_of(CONTRACT)]
    key = setting.partition(":")[0]
    assert new == ([f"r.yaml:45: profiles[0].settings.{key}: {warning}"] if warning else [])
    assert "hunter2" not in "".join(found)


def test_a_profile_that_is_never_chosen():
    text = OPEN + "  - {name: default, settings: {linger.ms: 6}}\n"
    assert warnings_of(text) == [
        "r.yaml:9: profiles[1]: never chosen: an earlier profile of this name has all its tags"
    ]


def test_secrets():
    plain = (
        "a password in plain text: use password_hash (`kafkaroute hash-password`) or a reference"
    )
    unset = "credentials[0].values.sasl.password: the environment variable CC_PASS1 is empty here"
    assert warnings_of(CONTRACT, {"CC_PASS1": "", "CC_USER1": "u"}) == [
        f"r.yaml:4: callers[0].password: {plain}",
        f"r.yaml:5: callers[1].password: {plain}",
        "r.yaml:5: callers[1].name: this caller has no credentials: it is answered 404",
        f"r.yaml:12: {unset}",
    ]


def test_plain_credentials_and_unset_references():
    text = CONTRACT.replace("{vault://env/cc-pass1}", "hunter2").replace(
        "password: pass1", "password: '{vault://env/app-one}'"
    )
    found = warnings_of(text)
    assert (
        "r.yaml:4: callers[0].password: the environment variable APP_ONE is not set here" in found
    )
    assert (
        "r.yaml:11: credentials[0].values.sasl.username: the environment variable CC_USER1 is not "
        "set here"
    ) in found
    assert (
        "r.yaml:12: credentials[0].values.sasl.password: a secret in plain text: use a reference "
        "such as {vault://env/name}"
    ) in found
    assert "hunter2" not in "".join(found)
    assert "pass2" not in "".join(found)


# The command.


@pytest.fixture
def rules_file(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(OPEN)
    return path


def test_command_sums_up_a_sound_file(rules_file, capsys):
    assert main(["check", str(rules_file), "--strict"]) == 0
    expected = f"{rules_file}: sound: 1 cluster, 1 rule, 1 profile, 0 callers\n"
    assert capsys.readouterr() == (expected, "")


def test_command_prints_all_problems(rules_file, capsys):
    rules_file.write_text(BROKEN)
    assert main(["check", str(rules_file)]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == len(EXPECTED.splitlines())
    assert all(line.startswith(f"{rules_file}:") for line in out.splitlines())
    assert err == f"{rules_file}: {len(EXPECTED.splitlines())} problems\n"


def test_warnings_fail_only_when_strict(rules_file, capsys):
    rules_file.write_text(OPEN + "callers:\n  - {name: u, password: hunter2}\n")
    assert main(["check", str(rules_file)]) == 0
    out, err = capsys.readouterr()
    warning, summary = out.splitlines()
    assert warning.startswith(f"{rules_file}:10: callers[0].password: a password in plain text")
    assert warning.endswith(" (warning)")
    assert summary.endswith(": sound: 1 cluster, 1 rule, 1 profile, 1 caller; 1 warning")
    assert not err
    assert main(["check", "--strict", str(rules_file)]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == [warning]
    assert "not sound (--strict)" in err
    rules_file.write_text(
        OPEN + f"callers:\n  - {{name: u, password_hash: '{hash_password('x')}'}}\n"
    )
    assert main(["check", "--strict", str(rules_file)]) == 0


@pytest.mark.parametrize("argv", [[], ["nowhere.yaml"], ["--strict"]])
def test_command_without_a_file(argv, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", *argv]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("kafkaroute: ")


def test_command_with_binary(rules_file, capsys):
    rules_file.write_bytes(b"\xff")
    assert main(["check", str(rules_file)]) == 2
    assert "not UTF-8" in capsys.readouterr().err
