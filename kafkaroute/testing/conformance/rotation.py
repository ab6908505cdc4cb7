"""Credentials that change under live clients: the broker refuses the old password within seconds
(``connections.max.reauth.ms``), the client is told before, after or late."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from ...backend.contract import BackendConsumer, BackendProducer, Capability
from ...messages import KafkaError
from ..cluster import ClusterFeature
from .kit import PATIENCE, Kit, Reports
from .requirements import needs, requires

__all__ = ["RotationTests"]

_SECURITY = "scram-sha-512"
#: Quick to come back; what else a client waits for is its own.
_SETTINGS = {
    "enable.idempotence": True,
    "linger.ms": 0,
    "reconnect.backoff.max.ms": 500,
    "retry.backoff.ms": 100,
}
#: Seconds after which the broker has asked every connection for its password again.
_ASKED = 3.5


class _Pair:
    """A producer that writes on and a consumer that reads on, both with one user's password."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.topic = kit.topic()
        self.reports = Reports()
        self.producer: BackendProducer = kit.producer(_SETTINGS, _SECURITY)
        self.consumer: BackendConsumer = kit.consumer(
            {"reconnect.backoff.max.ms": 500, "enable.auto.commit": False}, security=_SECURITY
        )
        self.send = self.producer.sender(self.topic)
        self.sent = 0
        self.read: list[int | None] = []
        self.errors: list[int] = []
        kit.join(self.consumer, [self.topic])
        self.run(PATIENCE, lambda: len(self.read) > 5)

    def rotate(self) -> str:
        password = secrets.token_hex(8)
        self.kit.cluster.alter_scram_password(_SECURITY, password)
        return password

    def tell(self, password: str, user: str | None = None) -> None:
        user = user or str(self.kit.config(security=_SECURITY)["sasl.username"])
        self.producer.set_sasl_credentials(user, password)
        self.consumer.set_sasl_credentials(user, password)

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> float:
        """Write and read for so long, or until; returns how long."""
        began = time.monotonic()
        while not until() and time.monotonic() < began + seconds:
            self.send(str(self.sent), b"k", -1, self.reports)
            self.sent += 1
            self.producer.poll(0)
            message = self.kit.next(self.consumer, 0.02)
            if message is None:
                continue
            error = message.error()
            if error is None:
                self.read.append(message.offset())
            else:
                self.errors.append(error.code())
        return time.monotonic() - began

    def finish(self) -> None:
        """Everything that was sent is delivered and read, in order and once."""
        assert self.producer.flush(PATIENCE) == 0
        sent = self.sent
        deadline = time.monotonic() + PATIENCE
        while len(self.read) < sent and time.monotonic() < deadline:
            message = self.kit.next(self.consumer, 0.1)
            if message is not None and message.error() is None:
                self.read.append(message.offset())
        assert self.reports.codes == [None] * sent
        assert self.read == list(range(sent))

    def delivers(self) -> Callable[[], bool]:
        """True once what was sent from now on is delivered and read."""
        sent = self.sent
        return lambda: len(self.reports) > sent and len(self.read) > sent


class RotationTests:
    @needs(ClusterFeature.SASL_SSL)
    @requires(Capability.SET_SASL_CREDENTIALS)
    def test_told_at_once_nobody_notices(self, kit: Kit) -> None:
        pair = _Pair(kit)
        pair.tell(pair.rotate())
        pair.run(_ASKED + 0.5)
        assert pair.run(PATIENCE, pair.delivers()) < 2
        pair.finish()

    @needs(ClusterFeature.SASL_SSL)
    @requires(Capability.SET_SASL_CREDENTIALS)
    def test_told_before_the_broker_it_goes_on(self, kit: Kit) -> None:
        """A route may be ahead of the broker by seconds."""
        pair = _Pair(kit)
        password = secrets.token_hex(8)
        pair.tell(password)
        pair.run(_ASKED)
        kit.cluster.alter_scram_password(_SECURITY, password)
        assert pair.run(PATIENCE, pair.delivers()) < 8
        pair.finish()

    @needs(ClusterFeature.SASL_SSL)
    @requires(Capability.SET_SASL_CREDENTIALS)
    def test_another_user_costs_a_connection_and_no_message(self, kit: Kit) -> None:
        pair = _Pair(kit)
        user, password = kit.name("user"), secrets.token_hex(8)
        kit.cluster.add_scram_user(_SECURITY, user, password)
        pair.tell(password, user)
        pair.run(_ASKED)  # a broker lets nobody change the name on an open connection
        assert pair.run(PATIENCE, pair.delivers()) < 8
        pair.finish()

    @needs(ClusterFeature.SASL_SSL)
    @requires(Capability.SET_SASL_CREDENTIALS, Capability.TRANSACTIONS)
    def test_open_transaction_outlives_a_rotation(self, kit: Kit) -> None:
        topic = kit.topic()
        producer = kit.producer({**_SETTINGS, "transactional.id": kit.name("tx")}, _SECURITY)
        producer.init_transactions(PATIENCE)
        producer.begin_transaction()
        send = producer.sender(topic)
        send(b"before", b"k")
        assert producer.flush(PATIENCE) == 0
        password = secrets.token_hex(8)
        kit.cluster.alter_scram_password(_SECURITY, password)
        time.sleep(_ASKED)
        send(b"refused at first", b"k")
        producer.flush(1.0)
        user = str(kit.config(security=_SECURITY)["sasl.username"])
        producer.set_sasl_credentials(user, password)
        producer.commit_transaction(PATIENCE)
        assert [message.value() for message in kit.read_all(topic, 2)] == [
            b"before",
            b"refused at first",
        ]

    @needs(ClusterFeature.SASL_SSL)
    @requires(Capability.SET_SASL_CREDENTIALS)
    def test_told_late_and_wrongly_first_it_heals(self, kit: Kit) -> None:
        pair = _Pair(kit)
        password = pair.rotate()
        pair.run(_ASKED + 1.5)
        assert len(pair.reports) < pair.sent, "the old password is still good"
        pair.tell(secrets.token_hex(8))
        pair.run(1.0)
        pair.tell(password)
        assert pair.run(PATIENCE, pair.delivers()) < 8
        assert set(pair.errors) <= {
            KafkaError._AUTHENTICATION,
            KafkaError._ALL_BROKERS_DOWN,
            KafkaError._TRANSPORT,
        }
        pair.finish()
