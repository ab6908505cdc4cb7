"""Settings as keyword arguments of kafka-python's clients, librdkafka's defaults written out."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from kafkaroute.messages import KafkaError, kafka_exception

from .config import Settings
from .network.sockets import socket_url
from .network.tls import build_ssl_context
from .partitioner import PARTITIONERS, Partitioner
from .refusals import FeatureRefused, SettingRefused

__all__ = ["ConsumerPlan", "ProducerPlan", "plan_consumer", "plan_producer"]

#: "Never": kafka-python needs a number where librdkafka has a switch (10 years in ms).
_NEVER_MS = 10 * 365 * 86400 * 1000
_INT_MAX = 2147483647
_ACKS = {"all": -1, "-1": -1, "0": 0, "1": 1}
_RESET = {
    "smallest": "earliest",
    "earliest": "earliest",
    "beginning": "earliest",
    "largest": "latest",
    "latest": "latest",
    "end": "latest",
    "error": "none",
}
_MECHANISMS = frozenset({"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"})
_CODECS = {"snappy": "snappy", "lz4": "lz4", "zstd": "zstandard"}
_STRATEGIES = frozenset({"range", "roundrobin", "cooperative-sticky"})


@dataclass(slots=True)
class ProducerPlan:
    """What a producer needs: kafka-python's keywords, and what the backend does by itself.

    Times are in seconds, sizes in bytes.
    """

    kwargs: dict[str, Any]
    client_kwargs: dict[str, Any]
    servers: str
    secrets: tuple[str | None, ...]
    partitioner: Partitioner
    keyless_is_sticky: bool
    sticky_linger: float
    max_messages: int
    max_bytes: int
    max_message_bytes: int
    batch_messages: int
    message_timeout: float
    propagation_max: float
    on_delivery: Callable[..., Any] | None
    on_error: Callable[[KafkaError], Any] | None
    only_errors: bool
    transactional: bool


@dataclass(slots=True)
class ConsumerPlan:
    """What a consumer needs. Times are in seconds."""

    kwargs: dict[str, Any]
    client_kwargs: dict[str, Any]
    servers: str
    secrets: tuple[str | None, ...]
    strategies: tuple[str, ...]
    batch: int
    auto_commit: bool
    auto_commit_interval: float
    auto_store: bool
    partition_eof: bool
    read_committed: bool
    auto_create: bool
    max_poll_interval: float
    request_timeout: float
    on_commit: Callable[..., Any] | None
    on_error: Callable[[KafkaError], Any] | None


def plan_producer(settings: Settings) -> ProducerPlan:
    """Translate a producer's settings.

    Raises:
        ConfigurationError, UnsupportedFeature: naming the setting.
        KafkaException: ``_INVALID_ARG`` for values that contradict each other.
    """
    partitioner = str(settings["partitioner"])
    if partitioner not in PARTITIONERS:
        raise SettingRefused(f"partitioner={partitioner} is none of {', '.join(PARTITIONERS)}")
    linger = settings.int("linger.ms")
    timeout = settings.int("message.timeout.ms") or _NEVER_MS
    if timeout <= linger:
        raise kafka_exception(
            KafkaError._INVALID_ARG, "`message.timeout.ms` must be greater than `linger.ms`"
        )
    request_timeout = settings.int("request.timeout.ms")
    kwargs = {
        **_common(settings),
        "acks": _acks(settings),
        "linger_ms": linger,
        "batch_size": settings.int("batch.size"),
        "compression_type": _compression(settings),
        "max_request_size": settings.int("message.max.bytes"),
        "request_timeout_ms": request_timeout,
        # kafka-python wants room for one request; the backend sets the true value afterwards.
        "delivery_timeout_ms": max(timeout, linger + request_timeout),
        "retries": float("inf") if settings["retries"] == _INT_MAX else settings.int("retries"),
        "transaction_timeout_ms": settings.int("transaction.timeout.ms"),
        "transactional_id": settings["transactional.id"] or None,
        **_idempotence(settings),
    }
    return ProducerPlan(
        kwargs=kwargs,
        client_kwargs=_client(settings),
        servers=_servers(settings),
        secrets=_secrets(settings),
        partitioner=PARTITIONERS[partitioner],
        keyless_is_sticky=partitioner.endswith("_random"),
        sticky_linger=settings.int("sticky.partitioning.linger.ms") / 1000,
        max_messages=settings.int("queue.buffering.max.messages") or _INT_MAX,
        max_bytes=settings.int("queue.buffering.max.kbytes") * 1024,
        max_message_bytes=settings.int("message.max.bytes"),
        batch_messages=settings.int("batch.num.messages"),
        message_timeout=timeout / 1000,
        propagation_max=settings.int("topic.metadata.propagation.max.ms") / 1000,
        on_delivery=settings["on_delivery"],
        on_error=settings["error_cb"],
        only_errors=bool(settings["delivery.report.only.error"]),
        transactional=bool(settings["transactional.id"]),
    )


def plan_consumer(settings: Settings) -> ConsumerPlan:
    """Translate a consumer's settings; raises as :func:`plan_producer` does."""
    if not settings["group.id"]:
        raise kafka_exception(KafkaError._INVALID_ARG, "a consumer needs group.id")
    strategies = _strategies(settings)
    session = settings.int("session.timeout.ms")
    if settings.int("max.poll.interval.ms") < session:
        raise kafka_exception(
            KafkaError._INVALID_ARG, "`max.poll.interval.ms` must be >= `session.timeout.ms`"
        )
    if settings.int("heartbeat.interval.ms") >= session:
        raise kafka_exception(
            KafkaError._INVALID_ARG,
            "`heartbeat.interval.ms` must be less than `session.timeout.ms`",
        )
    # kafka-python holds one fetch answer per partition and broker, so bounding the answer bounds
    # what is queued.
    queued = settings.int("queued.max.messages.kbytes") * 1024
    fetch_max = min(settings.int("fetch.max.bytes"), queued)
    wait = settings.int("fetch.wait.max.ms")
    kwargs = {
        **_common(settings),
        "client_rack": settings["client.rack"] or "",
        "group_id": settings["group.id"],
        "group_instance_id": settings["group.instance.id"] or None,
        "session_timeout_ms": session,
        "heartbeat_interval_ms": settings.int("heartbeat.interval.ms"),
        "max_poll_interval_ms": settings.int("max.poll.interval.ms"),
        "auto_offset_reset": _RESET[settings["auto.offset.reset"]],
        "enable_auto_commit": False,  # it would commit what was fetched, not what was delivered
        "isolation_level": settings["isolation.level"],
        "check_crcs": settings["check.crcs"],
        "allow_auto_create_topics": settings["allow.auto.create.topics"],
        "fetch_max_wait_ms": wait,
        "fetch_min_bytes": settings.int("fetch.min.bytes"),
        "fetch_max_bytes": fetch_max,
        "max_partition_fetch_bytes": min(settings.int("max.partition.fetch.bytes"), queued),
        # Within a fetch session (KIP-227) a broker says nothing of a partition where nothing is
        # new, and the end of one that was assigned again would never be told.
        "enable_incremental_fetch_sessions": not settings["enable.partition.eof"],
        "max_poll_records": settings.int("max.poll.records"),
        # librdkafka's bound of one request; it must leave room for the broker's wait.
        "request_timeout_ms": max(settings.int("socket.timeout.ms"), wait + 1000),
        "max_in_flight_requests_per_connection": settings.int(
            "max.in.flight.requests.per.connection"
        ),
    }
    return ConsumerPlan(
        kwargs=kwargs,
        client_kwargs={
            **_client(settings),
            "request_timeout_ms": kwargs["request_timeout_ms"],
        },
        servers=_servers(settings),
        secrets=_secrets(settings),
        strategies=strategies,
        batch=min(settings.int("max.poll.records"), settings.int("queued.min.messages")),
        auto_commit=bool(settings["enable.auto.commit"]),
        # 0 means "as often as possible" to librdkafka; ten times a second is what it does.
        auto_commit_interval=max(settings.int("auto.commit.interval.ms") / 1000, 0.1),
        auto_store=bool(settings["enable.auto.offset.store"]),
        partition_eof=bool(settings["enable.partition.eof"]),
        read_committed=settings["isolation.level"] == "read_committed",
        auto_create=bool(settings["allow.auto.create.topics"]),
        max_poll_interval=settings.int("max.poll.interval.ms") / 1000,
        request_timeout=kwargs["request_timeout_ms"] / 1000,
        on_commit=settings["on_commit"],
        on_error=settings["error_cb"],
    )


def _servers(settings: Settings) -> str:
    servers = settings["bootstrap.servers"]
    if not servers:
        raise SettingRefused("bootstrap.servers is not set")
    return str(servers)


def _common(settings: Settings) -> dict[str, Any]:
    refresh = settings.int("topic.metadata.refresh.interval.ms")
    age = settings.int("metadata.max.age.ms")
    return {
        "bootstrap_servers": [
            part.strip() for part in _servers(settings).split(",") if part.strip()
        ],
        "client_id": settings["client.id"],
        "client_dns_lookup": settings["client.dns.lookup"],
        "metadata_max_age_ms": age if refresh < 0 else min(refresh or age, age),
        "receive_message_max_bytes": settings.int("receive.message.max.bytes"),
        "reconnect_backoff_ms": settings.int("reconnect.backoff.ms"),
        "reconnect_backoff_max_ms": max(
            settings.int("reconnect.backoff.ms"), settings.int("reconnect.backoff.max.ms")
        ),
        "retry_backoff_ms": settings.int("retry.backoff.ms"),
        "connections_max_idle_ms": settings.int("connections.max.idle.ms") or _NEVER_MS,
        "socket_options": _socket_options(settings),
        "proxy_url": socket_url(settings["broker.address.family"]),
        "api_version": _api_version(settings),
        "metrics_enabled": False,
        **_security(settings),
    }


def _client(settings: Settings) -> dict[str, Any]:
    """Settings of the connection manager that the clients' own constructors do not know."""
    setup = settings.int("socket.connection.setup.timeout.ms")
    return {
        "request_timeout_ms": settings.int("socket.timeout.ms"),
        "socket_connection_setup_timeout_ms": setup,
        "socket_connection_setup_timeout_max_ms": setup,
    }


def _socket_options(settings: Settings) -> list[tuple[int, int, int]]:
    options = []
    if settings["socket.nagle.disable"]:
        options.append((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1))
    if settings["socket.keepalive.enable"]:
        options.append((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1))
    for key, option in (
        ("socket.send.buffer.bytes", socket.SO_SNDBUF),
        ("socket.receive.buffer.bytes", socket.SO_RCVBUF),
    ):
        if size := settings.int(key):
            options.append((socket.SOL_SOCKET, option, size))
    return options


def _api_version(settings: Settings) -> tuple[int, ...] | None:
    if settings["api.version.request"]:
        return None
    text = str(settings["broker.version.fallback"])
    if not re.fullmatch(r"\d+(\.\d+){1,3}", text):
        raise SettingRefused(f"broker.version.fallback={text} is no version number")
    version = tuple(int(part) for part in text.split("."))
    # From 1.0 on the protocol is told apart by two numbers, before that by three.
    return version[:2] if version[0] else version[:3]


def _security(settings: Settings) -> dict[str, Any]:
    protocol = str(settings["security.protocol"]).upper()
    security: dict[str, Any] = {"security_protocol": protocol}
    if protocol.endswith("SSL"):
        security["ssl_context"] = build_ssl_context(settings.given())
    if protocol.startswith("SASL_"):
        security |= _sasl(settings)
    return security


def _sasl(settings: Settings) -> dict[str, Any]:
    mechanism = str(settings["sasl.mechanisms"]).upper()
    if mechanism not in _MECHANISMS:
        raise FeatureRefused(f"the kafka-python backend cannot honour sasl.mechanisms={mechanism}")
    sasl: dict[str, Any] = {"sasl_mechanism": mechanism}
    if mechanism == "GSSAPI":
        if find_spec("gssapi") is None:
            raise FeatureRefused("sasl.mechanisms=GSSAPI needs the Python package gssapi")
        sasl["sasl_kerberos_service_name"] = settings["sasl.kerberos.service.name"]
    elif mechanism == "OAUTHBEARER":
        if not callable(settings["oauth_cb"]):
            raise FeatureRefused(
                "sasl.mechanisms=OAUTHBEARER needs oauth_cb with the kafka-python backend"
            )
        from .network.oauth import CallbackTokenProvider

        sasl["sasl_oauth_token_provider"] = CallbackTokenProvider(
            settings["oauth_cb"], settings.get("sasl.oauthbearer.config", "")
        )
    else:
        if not settings["sasl.username"] or settings["sasl.password"] is None:
            raise kafka_exception(
                KafkaError._INVALID_ARG,
                f"sasl.username and sasl.password must be set for {mechanism}",
            )
        sasl["sasl_plain_username"] = settings["sasl.username"]
        sasl["sasl_plain_password"] = settings["sasl.password"]
    return sasl


def _secrets(settings: Settings) -> tuple[str | None, ...]:
    keys = ("sasl.username", "sasl.password", "ssl.key.password", "sasl.oauthbearer.config")
    return tuple(settings[key] for key in keys)


def _acks(settings: Settings) -> int:
    text = str(settings["acks"]).lower()
    if text not in _ACKS:
        raise SettingRefused(f"acks={text} is none of all, -1, 0, 1")
    return _ACKS[text]


def _compression(settings: Settings) -> str | None:
    codec = str(settings["compression.type"])
    if codec == "none":
        return None
    package = _CODECS.get(codec)
    if package is not None and find_spec(package) is None:
        raise FeatureRefused(f"compression.type={codec} needs a Python package for {package}")
    return codec


def _idempotence(settings: Settings) -> dict[str, Any]:
    wanted = bool(settings["enable.idempotence"]) or bool(settings["transactional.id"])
    in_flight = settings.int("max.in.flight.requests.per.connection")
    if not wanted:
        return {
            "enable_idempotence": False,
            "max_in_flight_requests_per_connection": in_flight,
        }
    if "enable.idempotence" in settings and not settings["enable.idempotence"]:
        raise kafka_exception(
            KafkaError._INVALID_ARG, "`transactional.id` requires `enable.idempotence=true`"
        )
    for key, wrong in (
        ("max.in.flight.requests.per.connection", in_flight > 5),
        ("acks", _acks(settings) != -1),
        ("retries", settings["retries"] == 0),
    ):
        if key in settings and wrong:
            raise kafka_exception(
                KafkaError._INVALID_ARG, f"`{key}` contradicts `enable.idempotence=true`"
            )
    return {
        "enable_idempotence": True,
        "max_in_flight_requests_per_connection": min(in_flight, 5),
        "acks": -1,
    }


def _strategies(settings: Settings) -> tuple[str, ...]:
    text = str(settings["partition.assignment.strategy"])
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in _STRATEGIES:
            raise SettingRefused(
                f"partition.assignment.strategy={name} is none of {', '.join(sorted(_STRATEGIES))}"
            )
    if not names:
        raise SettingRefused("partition.assignment.strategy is empty")
    if "cooperative-sticky" in names and len(names) > 1:
        raise kafka_exception(
            KafkaError._CONFLICT,
            "partition.assignment.strategy must not mix eager and cooperative strategies",
        )
    return names
