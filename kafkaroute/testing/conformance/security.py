"""SASL_SSL: every mechanism, and what a wrong secret or a wrong authority looks like."""

from __future__ import annotations

import logging
import time

import pytest

from ...backend.contract import Capability
from ...errors import UnsupportedFeature
from ...messages import KafkaError
from ..cluster import ClusterFeature
from .kit import PATIENCE, Kit, Reports
from .requirements import needs, requires

__all__ = ["SecurityTests"]

_MECHANISMS = [
    pytest.param("scram-sha-512", Capability.SASL_SCRAM, id="scram-sha-512"),
    pytest.param("scram-sha-256", Capability.SASL_SCRAM, id="scram-sha-256"),
    pytest.param("plain", Capability.SASL_PLAIN, id="plain"),
]
_WRONG = "this-is-the-wrong-password"


def _other_authority() -> str:
    import trustme

    return str(trustme.CA().cert_pem.bytes().decode())


class SecurityTests:
    @needs(ClusterFeature.SASL_SSL)
    @requires(Capability.TLS)
    @pytest.mark.parametrize(("security", "capability"), _MECHANISMS)
    def test_round_trip_over_sasl_ssl(
        self, kit: Kit, security: str, capability: Capability
    ) -> None:
        if capability not in kit.backend.capabilities:
            with pytest.raises(UnsupportedFeature):
                kit.producer(security=security)
            return
        topic = kit.topic()
        producer = kit.producer({"linger.ms": 0}, security=security)
        reports = Reports()
        producer.sender(topic)(b"over TLS", b"k", -1, reports)
        assert producer.flush(PATIENCE) == 0
        assert reports.codes == [None]
        consumer = kit.consumer(security=security)
        messages = kit.join(consumer, [topic])
        messages += kit.read(consumer, 1 - len(messages))
        assert messages[0].value() == b"over TLS"
        assert consumer.list_topics(topic, PATIENCE).cluster_id == kit.cluster.cluster_id

    @needs(ClusterFeature.SASL_SSL)
    @requires(Capability.TLS, Capability.SASL_SCRAM)
    def test_connections_that_must_authenticate_again_go_on(self, kit: Kit) -> None:
        # The broker asks for it every 3 s (connections.max.reauth.ms).
        topic = kit.topic()
        producer = kit.producer({"linger.ms": 0}, security="scram-sha-512")
        reports = Reports()
        send = producer.sender(topic)
        for number in range(18):
            send(str(number), b"k", -1, reports)
            assert producer.flush(PATIENCE) == 0
            time.sleep(0.25)
        assert reports.codes == [None] * 18
        assert len(kit.read_all(topic, 18)) == 18

    @needs(ClusterFeature.SASL_SSL)
    @requires(Capability.TLS, Capability.SASL_SCRAM)
    def test_wrong_password_of_a_producer(self, kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        seen: list[KafkaError] = []
        producer = kit.producer(
            {"sasl.password": _WRONG, "message.timeout.ms": 5000, "error_cb": seen.append},
            security="scram-sha-512",
        )
        reports = Reports()
        began = time.monotonic()
        producer.sender(kit.topic())(b"v", b"k", -1, reports)
        assert time.monotonic() - began < 4, "it waited until the message was too old"
        assert producer.flush(PATIENCE) == 0
        assert set(reports.codes) <= {KafkaError._MSG_TIMED_OUT, KafkaError._AUTHENTICATION}
        assert len(reports) == 1
        assert KafkaError._AUTHENTICATION in {error.code() for error in seen}
        user = str(kit.config(security="scram-sha-512")["sasl.username"])
        told = [str(error) for error in seen] + [record.getMessage() for record in caplog.records]
        assert not [text for text in told if _WRONG in text or user in text]

    @needs(ClusterFeature.SASL_SSL)
    @requires(Capability.TLS, Capability.SASL_SCRAM)
    def test_wrong_password_of_a_consumer(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [b"v"])
        seen: list[KafkaError | None] = []
        consumer = kit.consumer(
            {"sasl.password": _WRONG, "error_cb": seen.append}, security="scram-sha-512"
        )
        consumer.subscribe([topic], None, None, None)
        deadline = time.monotonic() + PATIENCE
        codes: set[int] = set()
        while KafkaError._AUTHENTICATION not in codes and time.monotonic() < deadline:
            message = kit.next(consumer, 0.1)  # an event, or the callback; never an exception
            if message is not None:
                assert message.error() is not None
                seen.append(message.error())
            codes = {error.code() for error in seen if error is not None}
        assert KafkaError._AUTHENTICATION in codes

    @needs(ClusterFeature.SASL_SSL)
    @requires(Capability.TLS, Capability.SASL_SCRAM)
    def test_certificate_of_another_authority_is_refused(self, kit: Kit) -> None:
        seen: list[KafkaError] = []
        producer = kit.producer(
            {
                "ssl.ca.pem": _other_authority(),
                "message.timeout.ms": 2000,
                "error_cb": seen.append,
            },
            security="scram-sha-512",
        )
        reports = Reports()
        producer.sender(kit.topic())(b"v", b"k", -1, reports)
        assert producer.flush(PATIENCE) == 0
        assert len(reports) == 1
        assert set(reports.codes) <= {KafkaError._MSG_TIMED_OUT, KafkaError._SSL}
        assert KafkaError._SSL in {error.code() for error in seen}

    @needs(ClusterFeature.SASL_SSL)
    @requires(Capability.TLS, Capability.SASL_SCRAM)
    def test_check_of_the_certificate_can_be_switched_off(self, kit: Kit) -> None:
        topic = kit.topic()
        producer = kit.producer(
            {"ssl.ca.pem": _other_authority(), "enable.ssl.certificate.verification": False},
            security="scram-sha-512",
        )
        reports = Reports()
        producer.sender(topic)(b"v", b"k", -1, reports)
        assert producer.flush(PATIENCE) == 0
        assert reports.codes == [None]

    @needs(ClusterFeature.SASL_SSL)
    @requires(Capability.SET_SASL_CREDENTIALS)
    def test_right_credentials_heal_a_refused_producer(self, kit: Kit) -> None:
        topic = kit.topic()
        right = kit.config(security="scram-sha-512")
        producer = kit.producer(
            {"sasl.password": _WRONG, "reconnect.backoff.max.ms": 500}, security="scram-sha-512"
        )
        reports = Reports()
        producer.sender(topic)(b"v", b"k", -1, reports)
        assert producer.flush(1.0) == 1
        producer.set_sasl_credentials(str(right["sasl.username"]), str(right["sasl.password"]))
        assert producer.flush(PATIENCE) == 0
        assert reports.codes == [None]

    @needs(ClusterFeature.SASL_SSL)
    @requires(Capability.SET_SASL_CREDENTIALS)
    def test_right_credentials_heal_a_refused_consumer(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [b"v"])
        right = kit.config(security="scram-sha-512")
        consumer = kit.consumer(
            {"sasl.password": _WRONG, "reconnect.backoff.max.ms": 500}, security="scram-sha-512"
        )
        consumer.subscribe([topic], None, None, None)
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            kit.next(consumer, 0.1)
        consumer.set_sasl_credentials(str(right["sasl.username"]), str(right["sasl.password"]))
        deadline = time.monotonic() + PATIENCE
        value = None
        while value is None and time.monotonic() < deadline:
            message = kit.next(consumer, 0.1)
            if message is not None and message.error() is None:
                value = message.value()
        assert value == b"v"
