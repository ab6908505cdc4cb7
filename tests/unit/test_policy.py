"""What an answer may set, decided for every setting of librdkafka."""

import pytest

from kafkaroute.errors import ConfigurationError, RouteRejected
from kafkaroute.policy import Policy, overridden_security_keys
from kafkaroute.testing.scripted_catalog import route_to

#: Every property of librdkafka 2.16 that an answer must not set.
DENIED = [
    "debug",
    "error_cb",
    "throttle_cb",
    "stats_cb",
    "log_cb",
    "background_event_cb",
    "socket_cb",
    "connect_cb",
    "closesocket_cb",
    "open_cb",
    "resolve_cb",
    "opaque",
    "default_topic_conf",
    "internal.termination.signal",
    "ssl_key",
    "ssl_certificate",
    "ssl_ca",
    "https.ca.location",
    "https.ca.pem",
    "ssl.providers",
    "ssl.engine.location",
    "ssl.engine.id",
    "ssl_engine_callback_data",
    "ssl.certificate.verify_cb",
    "sasl.kerberos.kinit.cmd",
    "oauthbearer_token_refresh_cb",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.oauthbearer.assertion.private.key.file",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.assertion.file",
    "sasl.oauthbearer.assertion.jwt.template.file",
    "sasl.oauthbearer.metadata.authentication.type",
    "plugin.library.paths",
    "interceptors",
    "consume_cb",
    "rebalance_cb",
    "offset_commit_cb",
    "dr_cb",
    "dr_msg_cb",
    "partitioner_cb",
    "msg_order_cmp",
    "offset.store.path",
    "enabled_events",
    "test.mock.num.brokers",
    "test.mock.broker.rtt",
]

#: Names of other clients and of the confluent-kafka wrapper.
DENIED_ELSEWHERE = [
    "on_commit",
    "on_delivery",
    "logger",
    "oauth_cb",
    "key.serializer",
    "value.deserializer",
    "sasl.jaas.config",
    "interceptor.classes",
    "sasl.login.callback.handler.class",
    "ssl.engine.factory.class",
    "metric.reporters",
    "security.providers",
    "config.providers",
    "sasl_oauth_token_provider",
    "ssl_context",
    "kafka_client",
    "default.topic.config",
    "sasl.oauthbearer.jwks.endpoint.url",
]

ALLOWED = [
    "builtin.features",
    "client.id",
    "metadata.broker.list",
    "bootstrap.servers",
    "message.max.bytes",
    "max.in.flight",
    "topic.metadata.refresh.interval.ms",
    "topic.blacklist",
    "socket.timeout.ms",
    "broker.address.family",
    "connections.max.idle.ms",
    "reconnect.backoff.ms",
    "statistics.interval.ms",
    "log_level",
    "log.queue",
    "log.thread.name",
    "enable.random.seed",
    "log.connection.close",
    "api.version.request",
    "allow.auto.create.topics",
    "security.protocol",
    "ssl.cipher.suites",
    "ssl.curves.list",
    "ssl.sigalgs.list",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.ca.certificate.stores",
    "ssl.crl.location",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "enable.ssl.certificate.verification",
    "ssl.endpoint.identification.algorithm",
    "sasl.mechanisms",
    "sasl.mechanism",
    "sasl.kerberos.service.name",
    "sasl.kerberos.principal",
    "sasl.kerberos.keytab",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.username",
    "sasl.password",
    "sasl.oauthbearer.config",
    "enable.sasl.oauthbearer.unsecure.jwt",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.sub.claim.name",
    "sasl.oauthbearer.grant.type",
    "sasl.oauthbearer.assertion.algorithm",
    "sasl.oauthbearer.assertion.claim.aud",
    "group.id",
    "group.instance.id",
    "partition.assignment.strategy",
    "session.timeout.ms",
    "group.protocol",
    "enable.auto.commit",
    "isolation.level",
    "client.rack",
    "transactional.id",
    "enable.idempotence",
    "linger.ms",
    "acks",
    "compression.type",
    "batch.size",
    "partitioner",
    "delivery.report.only.error",
    "enable.metrics.push",
    "auto.offset.reset",
    "offset.store.method",
    "request.timeout.ms",
    "message.timeout.ms",
]


def refused(policy, **answer):
    with pytest.raises(RouteRejected) as caught:
        policy.check(route_to("t", **answer))
    return str(caught.value)


@pytest.mark.parametrize("key", DENIED + DENIED_ELSEWHERE)
def test_denied(key):
    text = refused(Policy(), configuration={"acks": "all", key: "the-value"})
    assert key in text
    assert "kafka://example.com/bar" in text
    assert "the-value" not in text
    assert "acks" not in text


@pytest.mark.parametrize("key", DENIED + DENIED_ELSEWHERE)
def test_denied_unless_allowed_by_name(key):
    Policy(allow=frozenset({key})).check(route_to("t", configuration={key: "x"}))


@pytest.mark.parametrize("key", ALLOWED)
def test_allowed(key):
    Policy().check(route_to("t", configuration={key: "x"}))


@pytest.mark.parametrize("part", ["connection", "credentials", "configuration"])
def test_every_part_is_checked(part):
    table = {"bootstrap.servers": "b:1", "plugin.library.paths": "x"}
    refused(Policy(), **{part: table})


@pytest.mark.parametrize("key", ["PLUGIN.library.Paths", " plugin.library.paths", "Stats_CB"])
def test_spelling_does_not_help(key):
    assert key.strip() in refused(Policy(), configuration={key: "x"})


def test_all_forbidden_keys_are_named_at_once():
    text = refused(Policy(), configuration={"debug": "all", "ssl.providers": "x"})
    assert "debug" in text
    assert "ssl.providers" in text


@pytest.mark.parametrize(
    "key", ["sasl.kerberos.principal", "sasl.kerberos.keytab", "sasl.kerberos.service.name"]
)
@pytest.mark.parametrize("value", ["x; rm -rf ~", "$(id)", "`id`", "a b", 'a"b', "a\nb", "%{x}"])
def test_values_that_librdkafka_hands_to_a_shell(key, value):
    text = refused(Policy(), configuration={key: value})
    assert key in text
    assert value not in text
    Policy(allow=frozenset({key})).check(route_to("t", configuration={key: value}))
    Policy().check(route_to("t", configuration={key: "svc/host.example@REALM"}))


def test_previous_places_are_checked():
    place = {"connection": {"bootstrap.servers": "o:1", "plugin.library.paths": "x"}, "topic": "p"}
    assert "previous: plugin.library.paths" in refused(Policy(), previous=[place])


def test_the_schema_registry_is_checked():
    registry = {"url": "https://sr", "bearer.auth.issuer.endpoint.url": "https://evil"}
    text = refused(Policy(), schema_registry=registry)
    assert "schema_registry: bearer.auth.issuer.endpoint.url" in text


TLS = Policy(require_tls=True)
OK = {"security.protocol": "SASL_SSL"}


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL", "sasl_ssl"])
def test_tls_routes_pass(protocol):
    TLS.check(route_to("t", credentials={"security.protocol": protocol}))


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT", "sasl_plaintext", "x", None])
def test_plaintext_routes_do_not(protocol):
    credentials = {} if protocol is None else {"security.protocol": protocol}
    assert "security.protocol" in refused(TLS, credentials=credentials)
    Policy().check(route_to("t", credentials=credentials))


def test_the_last_part_decides():
    undone = {"credentials": OK, "configuration": {"security.protocol": "SASL_PLAINTEXT"}}
    refused(TLS, **undone)
    TLS.check(route_to("t", configuration=OK, credentials={"security.protocol": "PLAINTEXT"}))


def test_the_application_may_turn_tls_on_itself():
    TLS.check(route_to("t"), {"security.protocol": "SSL"})


@pytest.mark.parametrize("value", [False, "false", "False", "0", 0])
def test_verification_switched_off_is_no_tls(value):
    configuration = OK | {"enable.ssl.certificate.verification": value}
    assert "verification" in refused(TLS, configuration=configuration)
    Policy().check(route_to("t", configuration=configuration))


def test_host_names_unchecked_is_no_tls_unless_allowed():
    key = "ssl.endpoint.identification.algorithm"
    configuration = OK | {key: "none"}
    assert key in refused(TLS, configuration=configuration)
    Policy(frozenset({key}), require_tls=True).check(route_to("t", configuration=configuration))


def test_previous_places_need_tls_too():
    place = {"connection": {"bootstrap.servers": "o:1"}, "topic": "p"}
    assert "previous: security.protocol" in refused(TLS, credentials=OK, previous=[place])


@pytest.mark.parametrize("url", ["http://sr", "https://a,http://b", "HTTP://x", "ftp://x"])
def test_the_schema_registry_needs_tls_too(url):
    registry = {"url": url}
    assert "not https" in refused(TLS, credentials=OK, schema_registry=registry)
    TLS.check(route_to("t", credentials=OK, schema_registry={"url": "https://a, https://b"}))


def test_from_dict():
    policy = Policy.from_dict({"allow": ["debug", "Sasl.Mechanism"], "require_tls": True})
    assert policy == Policy(frozenset({"debug", "sasl.mechanisms"}), require_tls=True)
    assert Policy.from_dict({}) == Policy()


@pytest.mark.parametrize(
    "table",
    [{"alow": []}, {"allow": "debug"}, {"allow": [1]}, {"allow": 1}, {"require_tls": "yes"}],
)
def test_from_dict_refuses_mistakes(table):
    with pytest.raises(ConfigurationError, match=next(iter(table))):
        Policy.from_dict(table)


def test_overridden_security_keys():
    route = route_to(
        "t",
        credentials={"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "acks": "1"},
        configuration={"security.protocol": "SSL", "sasl.mechanisms": "SCRAM", "acks": "all"},
    )
    assert overridden_security_keys(route) == ["sasl.mechanisms", "security.protocol"]
    assert overridden_security_keys(route_to("t", configuration=OK)) == []
