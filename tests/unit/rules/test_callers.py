"""The sections `callers` and `authentication` of a rules file."""

from __future__ import annotations

import jsonschema
import pytest
import yaml

from kafkaroute.errors import ConfigurationError
from kafkaroute.rules.check import check_rules
from kafkaroute.rules.loader import json_schema, parse_rules
from kafkaroute.rules.model import Bearer, Certificates
from kafkaroute.rules.passwords import Authenticator, hash_password

VALIDATOR = jsonschema.Draft202012Validator(json_schema())
REST = """
clusters: [{name: c, connection: {bootstrap.servers: "b:1"}, rules: []}]
profiles: []
"""
BEARER = "issuer: i, audience: a, jwks: 'https://h/jwks'"


def read(text):
    rules = parse_rules(text + REST, "r.yaml")
    checked = check_rules(text + REST, "r.yaml", {})
    assert checked.problems == []
    assert VALIDATOR.is_valid(yaml.safe_load(text + REST))
    return rules


def test_everything():
    rules = read("""
authentication:
  bearer:
    - issuer: https://sso.example.net
      audience: [kafkaroute, other]
      jwks: https://sso.example.net/keys
      algorithms: [ES256, EdDSA]
      claim: azp
      prefix: "p-"
      leeway: 5
      listed_only: false
    - {issuer: other, audience: a, jwks: 'file:///etc/keys.json'}
  certificates: {name: uri, header: Client-Cert, proxies: [127.0.0.1, 10.0.0.0/8]}
callers:
  - {name: 'spiffe://example.net/billing', admin: true}
  - {name: reports, password: x}
""")
    first, second = rules.authentication.bearer
    assert first == Bearer(
        issuer="https://sso.example.net",
        audiences=("kafkaroute", "other"),
        jwks="https://sso.example.net/keys",
        algorithms=("ES256", "EdDSA"),
        claim="azp",
        prefix="p-",
        leeway=5.0,
        listed_only=False,
    )
    assert second.algorithms == ("RS256", "ES256")
    assert (second.claim, second.leeway, second.listed_only) == ("sub", 30.0, True)
    assert rules.authentication.certificates == Certificates(
        "uri", "Client-Cert", ("127.0.0.1", "10.0.0.0/8")
    )
    assert rules.callers["spiffe://example.net/billing"].is_admin
    assert not rules.callers["reports"].is_admin


@pytest.mark.parametrize("text", ["callers: []", ""])
def test_open_to_all(text):
    assert read(text).open_to_all


def test_not_open_where_there_is_another_way_to_prove_who_one_is():
    assert not read("authentication: {certificates: {}}").open_to_all
    assert not read("callers: [{name: a, password: b}]").open_to_all


def test_credentials_of_callers_that_are_not_listed():
    credentials = "\ncredentials: [{caller: someone, values: {}}]"
    unlisted = (
        "{certificates: {listed_only: false}}",
        f"{{bearer: [{{{BEARER}, listed_only: no}}]}}",
    )
    for section in unlisted:
        assert read(f"authentication: {section}{credentials}").credentials[0].caller == "someone"


BROKEN = [
    ("authentication: {}", "2: authentication: expected 'bearer', 'certificates' or both"),
    ("authentication: {bearer: [{issuer: i, audience: a}]}", "'jwks' is missing"),
    (f"authentication: {{bearer: [{{{BEARER}}}, {{{BEARER}}}]}}", "'i' stands here twice"),
    (
        "authentication: {certificates: {header: X}}",
        "'header' and 'proxies' belong together: the header of anybody else is no proof",
    ),
    ("authentication: {certificates: {header: 'a b', proxies: ['::1']}}", "a header's name"),
    (
        "authentication: {certificates: {header: Authorization, proxies: ['::1']}}",
        "a header's name",
    ),
    ("authentication: {certificates: {header: X, proxies: [host]}}", "'host' is no IP address"),
    ("authentication: {certificates: {header: X, proxies: []}}", "expected at least one"),
    ("authentication: {certificates: {name: serial}}", "expected one of common_name, dns"),
    ("authentication: {certificates: {listed_only: 1}}", "expected true or false"),
    ("callers: [{name: a}]", "either 'password' or 'password_hash'"),
    ("callers: [{name: a, password: b, password_hash: c}]", "either 'password'"),
    ("callers: [{name: 'a:b', password: b}]", "a user name holds no colon"),
    ("callers: [{name: a, password: b, admin: 1}]", "expected true or false"),
    (
        "authentication: {certificates: {}}\ncredentials: [{caller: x, values: {}}]",
        "3: credentials[0].caller: this caller is not among 'callers'",
    ),
    *(
        (f"authentication: {{bearer: [{{issuer: i, audience: a, jwks: '{url}'}}]}}", "https URL")
        for url in ("http://sso.example.net/keys", "https://", "ftp://h/k", "file://host/k", "keys")
    ),
    *(
        (f"authentication: {{bearer: [{{{BEARER}, algorithms: [{name}]}}]}}", "is not accepted")
        for name in ("HS256", "none", "RS256x")
    ),
    *(
        (f"authentication: {{bearer: [{{{BEARER}, leeway: {leeway}}}]}}", "0 to 300")
        for leeway in ("-1", "301", "'1'", "true", ".nan")
    ),
]


@pytest.mark.parametrize(("text", "message"), BROKEN)
def test_what_is_wrong_is_told_with_its_place(text, message):
    document = "version: 1\n" + text + REST
    with pytest.raises(ConfigurationError) as caught:
        parse_rules(document, "r.yaml")
    assert str(caught.value).startswith("r.yaml:")
    assert message in str(caught.value)
    rules, problems, _ = check_rules(document, "r.yaml", {})
    assert rules is None
    assert str(caught.value) in problems


@pytest.mark.parametrize(
    "text",
    [
        text
        for text, _ in BROKEN
        # What a schema cannot say.
        if "twice" not in _ and "not among" not in _ and "IP address" not in _ and "nan" not in text
    ],
)
def test_the_schema_refuses_it_too(text):
    assert not VALIDATOR.is_valid(yaml.safe_load(text + REST))


def test_every_problem_at_once():
    rules, problems, _ = check_rules(
        "authentication:\n"
        "  bearer:\n"
        "    - {issuer: i, audienc: a, jwks: 'http://far/'}\n"
        "    - {issuer: i, audience: a, jwks: 'https://h/', algorithms: HS256}\n"
        "  certificates: {name: serial}\n"
        "callers: [{name: a}]\n" + REST,
        "r.yaml",
        {},
    )
    assert rules is None
    places = [problem.split(": ")[1] for problem in problems]
    assert places == [
        "authentication.bearer[0].audienc",
        "authentication.bearer[0]",
        "authentication.bearer[0].jwks",
        "authentication.bearer[1].algorithms",
        "authentication.certificates.name",
    ]


# Passwords.


def test_a_proof_outlives_a_reload_and_a_change_of_the_hash_ends_it():
    first, second = hash_password("pw-one"), hash_password("pw-two")
    rules = read(f"callers: [{{name: a, password_hash: '{first}'}}]")
    old = Authenticator(rules.callers)
    assert not old.is_cheap("a", "pw-one")
    assert old.check("a", "pw-one")
    again = Authenticator(rules.callers)
    assert again.is_cheap("a", "pw-one")
    assert again.check("a", "pw-one")
    changed = Authenticator(read(f"callers: [{{name: a, password_hash: '{second}'}}]").callers)
    assert not changed.is_cheap("a", "pw-one")
    assert not changed.check("a", "pw-one")


def test_a_refusal_costs_the_same_whoever_is_named(monkeypatch):
    from kafkaroute.rules import passwords

    calls = []
    original = passwords._scrypt_matches
    monkeypatch.setattr(
        passwords, "_scrypt_matches", lambda *args: calls.append(1) or original(*args)
    )
    callers = read(
        f"callers: [{{name: a, password_hash: '{hash_password('x')}'}}, {{name: b, password: y}}]"
    ).callers
    check = Authenticator(callers).check
    for user in ("a", "b", "nobody"):
        before = len(calls)
        assert not check(user, "wrong")
        assert len(calls) == before + 1, user
    assert check("b", "y")


def test_a_caller_without_a_password_is_opened_by_none():
    callers = read("authentication: {certificates: {}}\ncallers: [{name: a}]").callers
    assert not any(Authenticator(callers).check("a", password) for password in ("", "None", "a"))
