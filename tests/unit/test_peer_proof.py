"""Who brings what, and what may be mixed: the table of docs/security.md."""

from __future__ import annotations

import pytest

from kafkaroute.errors import RouteRejected
from kafkaroute.peer_proof import brings_secret, is_off, names_weak_ciphers
from kafkaroute.policy import Policy
from kafkaroute.route import Route

PASSWORD = {"sasl.username": "app", "sasl.password": "app-secret"}
FIXED = PASSWORD | {
    "security.protocol": "SASL_SSL",
    "sasl.mechanisms": "PLAIN",
    "ssl.ca.location": "/etc/kafka/ca.pem",
}
SERVERS = {"bootstrap.servers": "broker.example.net:9093"}
#: Each spelling of what weakens the proof of the peer.
WEAKENING = [
    {"ssl.ca.pem": "-----BEGIN"},
    {"ssl.ca.certificate.stores": "Root"},
    {"ssl.crl.location": "/tmp/none.pem"},
    {"SSL.CA.PEM": "-----BEGIN"},
    {" ssl.ca.pem ": "-----BEGIN"},
    {"topic.ssl.ca.pem": "-----BEGIN"},
    *({"enable.ssl.certificate.verification": off} for off in (False, "false", "F", "0", " no ")),
    *({"ssl.endpoint.identification.algorithm": off} for off in ("none", "NONE", "", " ")),
    {"ssl.cipher.suites": "NULL-SHA256"},
    {"ssl.cipher.suites": "ECDHE-RSA-AES256-GCM-SHA384"},
    {"ssl.curves.list": "P-256"},
    {"ssl.sigalgs.list": "RSA+SHA1"},
]


def route(where="credentials", **tables):
    more = {where: {}, **tables}
    return Route(
        "kafka://example.com/c", "t", **({"connection": SERVERS, "credentials": {}} | more)
    )


def refused(answer, own, policy=None, where="credentials"):
    tables = {"connection": SERVERS, "credentials": {}, "configuration": {}}
    tables[where] = tables[where] | answer
    found = Route("kafka://example.com/c", "t", **tables)
    try:
        (policy or Policy()).check(found, own)
    except RouteRejected as error:
        assert "app-secret" not in str(error)
        return str(error)
    return None


@pytest.mark.parametrize("where", ["connection", "credentials", "configuration"])
@pytest.mark.parametrize("answer", WEAKENING, ids=str)
def test_beside_the_applications_secret_nothing_weakens_the_proof(answer, where):
    name = next(iter(answer)).strip().lower().removeprefix("topic.")
    assert name in refused(answer, FIXED, where=where)
    assert refused(answer, {}, where=where) is None
    assert refused(answer, FIXED, Policy(frozenset({name})), where=where) is None


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ({"security.protocol": "SASL_PLAINTEXT"}, "security.protocol"),
        ({"security.protocol": "plaintext"}, "security.protocol"),
        ({"security.protocol": "ssl"}, "security.protocol"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"}, "sasl.mechanisms"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanisms": "OAUTHBEARER"}, "sasl.mechanisms"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanisms": "SCRAM-SHA-512"}, None),
        ({"security.protocol": "sasl_ssl"}, None),
        ({"enable.ssl.certificate.verification": True}, None),
        ({"ssl.endpoint.identification.algorithm": "https"}, None),
    ],
)
def test_protocol_and_mechanism_beside_a_password(answer, named):
    found = refused(answer, PASSWORD)
    assert found is None if named is None else named in found


def test_what_the_application_sets_itself_wins():
    own = FIXED | {"ssl.ca.pem": "own", "enable.ssl.certificate.verification": "true"}
    answer = {
        "ssl.ca.pem": "of the answer",
        "enable.ssl.certificate.verification": "false",
        "security.protocol": "PLAINTEXT",
        "sasl.mechanism": "PLAIN",
    }
    assert refused(answer, own) is None
    assert route().client_config(own)["ssl.ca.pem"] == "own"


def test_a_previous_place_is_a_place():
    found = Route(
        "kafka://example.com/c",
        "t",
        connection=SERVERS,
        credentials={},
        previous=({"topic": "old", "connection": {**SERVERS, "ssl.ca.pem": "x"}},),
    )
    with pytest.raises(RouteRejected, match=r"previous: ssl\.ca\.pem"):
        Policy().check(found, FIXED)
    Policy().check(found, {})


@pytest.mark.parametrize(
    ("own", "brings"),
    [
        ({"sasl.password": "x"}, True),
        ({"oauth_cb": print}, True),
        ({"sasl.oauthbearer.client.secret": "x"}, True),
        ({"sasl.username": "x"}, False),
        ({"linger.ms": 5}, False),
        ({"ssl.key.password": "x"}, False),  # of the key's file: it is not handed over
    ],
)
def test_what_is_a_secret_of_the_application(own, brings):
    assert brings_secret(own) is brings


@pytest.mark.parametrize(
    "ciphers",
    [
        "NULL-SHA256",
        "eNULL",
        "aNULL",
        "ALL",
        "DEFAULT:ADH",
        "AES:AECDH",
        "DEFAULT@SECLEVEL=0",
        "ALL:!aNULL:COMPLEMENTOFALL",
        "TLS_RSA_WITH_NULL_SHA",
        "DH_anon",
        "LOW",
        "EXP-RC4-MD5",
    ],
)
def test_ciphers_that_prove_nothing(ciphers):
    assert names_weak_ciphers(ciphers)
    policy = Policy(require_tls=True)
    answer = {"security.protocol": "SSL", "ssl.cipher.suites": ciphers}
    assert "ssl.cipher.suites" in refused(answer, {}, policy)


@pytest.mark.parametrize("ciphers", ["DEFAULT", "HIGH:!aNULL:!eNULL:!EXP", "ECDHE-RSA-AES256-SHA"])
def test_ciphers_that_prove_something(ciphers):
    assert not names_weak_ciphers(ciphers)
    answer = {"security.protocol": "SSL", "ssl.cipher.suites": ciphers}
    assert refused(answer, {}, Policy(require_tls=True)) is None


def test_what_is_off():
    assert is_off("enable.ssl.certificate.verification", "False")
    assert not is_off("enable.ssl.certificate.verification", "true")
    assert not is_off("linger.ms", "0")
