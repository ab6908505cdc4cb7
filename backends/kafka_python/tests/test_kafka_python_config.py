"""Settings of the kafka-python backend: the table, the conversions, the refusals."""

from __future__ import annotations

import ctypes
import pickle
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from kafkaroute.backend.settings_keys import ALIASES
from kafkaroute.errors import ConfigurationError, KafkaException, UnsupportedFeature
from kafkaroute.messages import KafkaError
from kafkaroute_kafka_python import KafkaPythonBackend
from kafkaroute_kafka_python.config import read_settings
from kafkaroute_kafka_python.settings_table import CONFLUENT_ONLY, SETTINGS, Handling
from kafkaroute_kafka_python.translate import plan_consumer, plan_producer

SERVERS = {"bootstrap.servers": "a:1, b:2"}


def producer_plan(**settings: Any) -> Any:
    given = {key.replace("_", "."): value for key, value in settings.items()}
    return plan_producer(read_settings({**SERVERS, **given}, consumer=False))


def consumer_plan(settings: dict[str, Any] | None = None) -> Any:
    config = {**SERVERS, "group.id": "g", **(settings or {})}
    return plan_consumer(read_settings(config, consumer=True))


def librdkafka_properties(folder: Path) -> dict[str, tuple[str, str]]:
    """Name → (scope, default) as the installed librdkafka itself tells them."""
    import confluent_kafka

    package = Path(confluent_kafka.__file__).parent
    [library] = (package.parent / "confluent_kafka.libs").glob("librdkafka*")
    functions, libc = ctypes.CDLL(str(library)), ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    libc.fclose.argtypes = functions.rd_kafka_conf_properties_show.argtypes = [ctypes.c_void_p]
    listing = folder / "properties"
    file = libc.fopen(str(listing).encode(), b"w")
    functions.rd_kafka_conf_properties_show(file)
    libc.fclose(file)
    found: dict[str, tuple[str, str]] = {}
    for line in listing.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 3 and cells[1] in {"*", "C", "P"}:
            found.setdefault(cells[0], (cells[1], cells[3]))
    return found


#: C function pointers and blobs of librdkafka that no Python client takes in its configuration.
C_ONLY = re.compile(
    r"(log|background_event|socket|connect|closesocket|open|resolve|rebalance|consume|partitioner"
    r"|ssl\.certificate\.verify)_cb|opaque|default_topic_conf|interceptors|msg_order_cmp"
    r"|ssl_(key|certificate|ca|engine_callback_data)"
)
#: The default is another's: what the row in the table is for.
OTHER_DEFAULT = {
    "builtin.features",  # a description of the library
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.principal",
}


def test_table_knows_every_property_of_librdkafka(tmp_path: Path) -> None:
    properties = librdkafka_properties(tmp_path)
    assert len(properties) > 150
    known = {*SETTINGS, *ALIASES, *CONFLUENT_ONLY}
    unknown = {name for name in properties if not C_ONLY.fullmatch(name)} - known
    assert unknown == set()


def test_defaults_and_scopes_are_librdkafkas(tmp_path: Path) -> None:
    compared = 0
    for name, (scope, default) in librdkafka_properties(tmp_path).items():
        setting = SETTINGS.get(name)
        if setting is None or setting.kind == "callable" or name in OTHER_DEFAULT:
            continue
        ours = setting.default
        text = "" if ours is None else str(ours).lower() if isinstance(ours, bool) else str(ours)
        assert (name, scope, default) == (name, setting.scope, text)
        compared += 1
    assert compared > 120


@pytest.mark.parametrize(
    ("key", "value", "typed"),
    [
        ("linger.ms", "50", 50),
        ("linger.ms", 50.0, 50),
        ("queue.buffering.max.ms", 7, 7),
        ("enable.idempotence", "TRUE", True),
        ("enable.idempotence", "f", False),
        ("compression.codec", "LZ4", "lz4"),
        ("acks", -1, "-1"),
        ("acks", "all", "all"),
        ("client.id", 5, "5"),
    ],
)
def test_values_are_converted(key: str, value: Any, typed: Any) -> None:
    [given] = read_settings({key: value}, consumer=False).given().values()
    assert given == typed
    assert type(given) is type(typed)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("linger.ms", "soon"),
        ("linger.ms", True),
        ("linger.ms", -1),
        ("linger.ms", 900_001),
        ("linger.ms", 0.5),
        ("enable.idempotence", "maybe"),
        ("compression.type", "rar"),
        ("security.protocol", "telnet"),
        ("bootstrap.servers", ["a"]),
        ("oauth_cb", "no function"),
    ],
)
def test_wrong_values_are_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(key)):
        read_settings({key: value}, consumer=False)


def test_unknown_keys_suggest_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"did you mean linger\.ms"):
        read_settings({"linger.mss": 5}, consumer=False)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("statistics.interval.ms", 1000),
        ("stats_cb", print),
        ("throttle_cb", print),
        ("debug", "all"),
        ("group.protocol", "consumer"),
        ("ssl.keystore.location", "k.p12"),
        ("sasl.kerberos.keytab", "k"),
        ("sasl.oauthbearer.method", "oidc"),
        ("retry.backoff.max.ms", 5000),
        ("plugin.library.paths", "x.so"),
        ("logger", print),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(key: str, value: Any) -> None:
    backend = KafkaPythonBackend()
    with pytest.raises(UnsupportedFeature, match=re.escape(key)):
        backend.check_config({**SERVERS, "group.id": "g", key: value}, consumer=True)


def test_refusals_do_not_show_secrets() -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        read_settings({"ssl.keystore.password": "hush"}, consumer=False)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "name", [name for name, row in SETTINGS.items() if row.handling is Handling.DEFAULT_ONLY]
)
def test_librdkafkas_default_is_always_accepted(name: str) -> None:
    setting = SETTINGS[name]
    if setting.default is None:
        assert setting.kind in {"str", "secret", "callable"}
        return
    for consumer in (False, True):
        read_settings({name: setting.default}, consumer=consumer)


def test_keys_of_the_other_kind_are_ignored() -> None:
    assert dict(read_settings({"acks": "all", "linger.ms": 5}, consumer=True).given()) == {}
    assert dict(read_settings({"group.id": "g"}, consumer=False).given()) == {}


def test_settings_do_not_show_values() -> None:
    assert "hush" not in repr(read_settings({"sasl.password": "hush"}, consumer=False))


def test_defaults_of_librdkafka_are_written_out_for_producers() -> None:
    kwargs = producer_plan().kwargs
    expected = {
        "acks": -1,
        "linger_ms": 5,
        "batch_size": 1_000_000,
        "enable_idempotence": False,
        "max_in_flight_requests_per_connection": 1_000_000,
        "delivery_timeout_ms": 300_000,
        "retries": float("inf"),
        "max_request_size": 1_000_000,
        "reconnect_backoff_ms": 100,
        "reconnect_backoff_max_ms": 10_000,
        "metadata_max_age_ms": 300_000,
        "client_id": "rdkafka",
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "PLAINTEXT",
        "api_version": None,
    }
    assert {key: kwargs[key] for key in expected} == expected
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in kwargs["socket_options"]


def test_defaults_of_librdkafka_are_written_out_for_consumers() -> None:
    kwargs = consumer_plan().kwargs
    expected = {
        "isolation_level": "read_committed",
        "check_crcs": False,
        "allow_auto_create_topics": False,
        "auto_offset_reset": "latest",
        "session_timeout_ms": 45_000,
        "enable_auto_commit": False,
        "fetch_max_wait_ms": 500,
        "fetch_max_bytes": 52_428_800,
    }
    assert {key: kwargs[key] for key in expected} == expected


def test_idleness_is_never_ended_unless_asked() -> None:
    assert producer_plan().kwargs["connections_max_idle_ms"] > 10**11
    assert producer_plan(connections_max_idle_ms=9000).kwargs["connections_max_idle_ms"] == 9000


@pytest.mark.parametrize(
    ("given", "reset"),
    [("smallest", "earliest"), ("beginning", "earliest"), ("end", "latest"), ("error", "none")],
)
def test_offset_resets(given: str, reset: str) -> None:
    assert consumer_plan({"auto.offset.reset": given}).kwargs["auto_offset_reset"] == reset


@pytest.mark.parametrize(
    ("text", "version"), [("2.3.0", (2, 3)), ("2.0", (2, 0)), ("0.10.2", (0, 10, 2))]
)
def test_broker_version_without_asking(text: str, version: tuple[int, ...]) -> None:
    plan = producer_plan(api_version_request="false", broker_version_fallback=text)
    assert plan.kwargs["api_version"] == version


@pytest.mark.parametrize(
    "settings",
    [
        {"max.in.flight": 6},
        {"acks": 1},
        {"retries": 0},
    ],
)
def test_what_contradicts_idempotence_is_refused(settings: dict[str, Any]) -> None:
    config = {**SERVERS, "enable.idempotence": True, **settings}
    with pytest.raises(KafkaException) as caught:
        KafkaPythonBackend().check_config(config, consumer=False)
    assert caught.value.args[0].code() == KafkaError._INVALID_ARG


def test_idempotence_bounds_requests_in_flight() -> None:
    kwargs = producer_plan(enable_idempotence=True).kwargs
    assert kwargs["max_in_flight_requests_per_connection"] == 5


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"group.id": ""}, KafkaError._INVALID_ARG),
        ({"max.poll.interval.ms": 1000}, KafkaError._INVALID_ARG),
        ({"heartbeat.interval.ms": 50_000}, KafkaError._INVALID_ARG),
        (
            {"partition.assignment.strategy": "range,cooperative-sticky"},
            KafkaError._CONFLICT,
        ),
    ],
)
def test_contradictions_of_consumers(settings: dict[str, Any], code: int) -> None:
    with pytest.raises(KafkaException) as caught:
        consumer_plan(settings)
    assert caught.value.args[0].code() == code


def test_unknown_strategy_and_partitioner_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="sticky"):
        consumer_plan({"partition.assignment.strategy": "sticky"})
    with pytest.raises(ConfigurationError, match="partitioner"):
        producer_plan(partitioner="dice")


def test_message_timeout_must_exceed_the_linger() -> None:
    with pytest.raises(KafkaException) as caught:
        producer_plan(message_timeout_ms=100, linger_ms=100)
    assert caught.value.args[0].code() == KafkaError._INVALID_ARG


def test_oauth_needs_a_callback_and_asks_it_once() -> None:
    sasl = {"security.protocol": "sasl_plaintext", "sasl.mechanism": "OAUTHBEARER"}
    with pytest.raises(UnsupportedFeature, match="oauth_cb"):
        consumer_plan(sasl)
    asked: list[str] = []

    def oauth(config: str) -> tuple[str, float, str, dict[str, str]]:
        asked.append(config)
        return "token", 4102444800.0, "me", {"team": "x"}

    plan = consumer_plan({**sasl, "oauth_cb": oauth, "sasl.oauthbearer.config": "c"})
    provider = plan.kwargs["sasl_oauth_token_provider"]
    assert [provider.token(), provider.token()] == ["token", "token"]
    assert provider.extensions() == {"team": "x"}
    assert asked == ["c"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_credentials_must_be_complete(mechanism: str) -> None:
    config = {"security.protocol": "SASL_SSL", "sasl.mechanism": mechanism, "sasl.username": "u"}
    with pytest.raises(KafkaException) as caught:
        consumer_plan(config)
    assert caught.value.args[0].code() == KafkaError._INVALID_ARG


def test_memory_of_a_consumer_is_bounded() -> None:
    kwargs = consumer_plan({"queued.max.messages.kbytes": 100}).kwargs
    assert kwargs["fetch_max_bytes"] == kwargs["max_partition_fetch_bytes"] == 102_400


def test_a_refused_setting_is_what_the_bare_client_raises_too() -> None:
    with pytest.raises(ConfigurationError) as caught:
        producer_plan(**{"linger.ms": "ten"})
    assert isinstance(caught.value, KafkaException)
    assert caught.value.args[0].code() == KafkaError._INVALID_ARG
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) == "linger.ms must be an integer, not 'ten'"
