"""The ``server.properties`` of a test broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .certificates import BrokerCertificate

__all__ = ["Ports", "User", "server_properties"]

_LOGIN = "org.apache.kafka.common.security"
_SASL = "listener.name.sasl_ssl"


@dataclass(frozen=True)
class Ports:
    plaintext: int
    sasl_ssl: int
    controller: int


@dataclass(frozen=True)
class User:
    """A user of the broker; `mechanism` as in ``sasl.mechanisms``."""

    name: str
    mechanism: str
    password: str = field(repr=False)


def server_properties(
    *,
    ports: Ports,
    data: Path,
    certificate: BrokerCertificate,
    plain_user: User,
    reauth_ms: int,
    extra: Mapping[str, str],
) -> str:
    """The text of the file: one node that is broker and controller (KRaft combined mode)."""
    host = "127.0.0.1"
    clients = f"PLAINTEXT://{host}:{ports.plaintext},SASL_SSL://{host}:{ports.sasl_ssl}"
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{host}:{ports.controller}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listeners": f"{clients},CONTROLLER://{host}:{ports.controller}",
        "advertised.listeners": clients,
        "listener.security.protocol.map": (
            "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL"
        ),
        "log.dirs": data.as_posix(),
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        # A killed broker is back after 3.3 s; with the default of 9000 after 12 s (measured).
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "200",
        "controlled.shutdown.enable": "false",
        **_single_replicas(),
        "sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN",
        f"{_SASL}.ssl.keystore.type": "PEM",
        f"{_SASL}.ssl.keystore.location": certificate.keystore.as_posix(),
        f"{_SASL}.scram-sha-512.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
        f"{_SASL}.scram-sha-256.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
        f"{_SASL}.plain.sasl.jaas.config": (
            f"{_LOGIN}.plain.PlainLoginModule required "
            f'user_{plain_user.name}="{plain_user.password}";'
        ),
        # Without it a connection outlives the change of its password.
        f"{_SASL}.connections.max.reauth.ms": str(reauth_ms),
        **extra,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def _single_replicas() -> dict[str, str]:
    return {
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
    }
