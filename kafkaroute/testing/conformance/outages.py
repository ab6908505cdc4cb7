"""A broker that goes away and comes back."""

from __future__ import annotations

import statistics
import time

from ...backend.contract import Capability
from ..cluster import ClusterFeature
from .kit import PATIENCE, Kit, Reports
from .requirements import needs, requires

__all__ = ["OutageTests"]


class OutageTests:
    @needs(ClusterFeature.RESTART)
    def test_clients_survive_a_restart_of_the_broker(self, kit: Kit) -> None:
        topic = kit.topic()
        producer = kit.producer({"linger.ms": 0, "reconnect.backoff.max.ms": 500})
        consumer = kit.consumer({"reconnect.backoff.max.ms": 500})
        send = producer.sender(topic)
        reports = Reports()
        send(b"before", b"k", -1, reports)
        assert producer.flush(PATIENCE) == 0
        messages = kit.join(consumer, [topic])
        messages += kit.read(consumer, 1 - len(messages))

        kit.cluster.kill()
        try:
            waits = []
            for number in range(20):
                began = time.monotonic()
                send(f"during {number}", b"k", -1, reports)
                waits.append(time.monotonic() - began)
                kit.next(consumer, 0.02)
            assert statistics.median(waits) < 0.05, "produce() waited for a broker that is down"
            assert max(waits) < 10, "it would have waited until the broker came back"
        finally:
            kit.cluster.start()

        assert producer.flush(60) == 0
        assert reports.codes == [None] * 21
        values: list[bytes | None] = []
        deadline = time.monotonic() + 2 * PATIENCE
        while b"during 19" not in values and time.monotonic() < deadline:
            message = kit.next(consumer, 0.1)
            if message is not None and message.error() is None:
                values.append(message.value())
        # Without idempotence a message may be written twice, and where the broker was away for
        # longer than the group waits, what was not committed is read again; none is missing or late.
        told = [value for value in dict.fromkeys(values) if value != b"before"]
        assert told == [f"during {number}".encode() for number in range(20)]

    @needs(ClusterFeature.RESTART)
    @requires(Capability.PURGE)
    def test_what_was_given_up_is_not_written_when_the_broker_returns(self, kit: Kit) -> None:
        topic = kit.topic()
        settings = {"linger.ms": 0, "reconnect.backoff.max.ms": 500, "acks": "all"}
        failures = {name: Reports() for name in ("plain", "idempotent", "closed")}
        producers = {
            name: kit.producer(
                {**settings, "enable.idempotence": name == "idempotent"},
                on_failure=reports,
                only_failures=True,
            )
            for name, reports in failures.items()
        }
        for name, producer in producers.items():
            producer.sender(topic)(f"{name} before", b"k")
            assert producer.flush(PATIENCE) == 0

        kit.cluster.kill()
        try:
            for number in range(200):
                for name, producer in producers.items():
                    producer.sender(topic)(f"{name} {number}", b"k")
            for producer in producers.values():
                producer.poll(0.3)
            for name, producer in producers.items():
                began = time.monotonic()
                if name == "closed":
                    assert producer.close(0) == 200
                else:
                    producer.purge(True, True, True)
                    assert producer.flush(10) == 0
                assert time.monotonic() - began < 8
                assert sorted(m.value() or b"" for m in failures[name].messages) == sorted(
                    f"{name} {number}".encode() for number in range(200)
                )
        finally:
            kit.cluster.start()

        for name in ("plain", "idempotent"):
            producers[name].sender(topic)(f"{name} after", b"k")
            assert producers[name].flush(60) == 0
            assert len(failures[name]) == 200, failures[name].codes[200:]
        read = {message.value() for message in kit.read_all(topic, 5)}
        assert read == {
            *(f"{name} before".encode() for name in failures),
            b"plain after",
            b"idempotent after",
        }

    @needs(ClusterFeature.RESTART)
    def test_close_does_not_wait_for_a_broker_that_hangs(self, kit: Kit) -> None:
        topic = kit.topic()
        reports = Reports()
        producer = kit.producer({"linger.ms": 0})
        send = producer.sender(topic)
        send(b"before", b"k")
        assert producer.flush(PATIENCE) == 0
        with kit.cluster.writes_hindered():
            for number in range(50):
                send(str(number), b"k", -1, reports)
            producer.poll(0.2)
            began = time.monotonic()
            assert producer.close(0) == 50
            assert time.monotonic() - began < 10
            assert len(reports) == 50
            assert None not in reports.codes
            assert {message.value() for message in reports.messages} == {
                str(number).encode() for number in range(50)
            }
