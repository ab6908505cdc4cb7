"""A broker that goes away and comes back."""

from __future__ import annotations

import time

from ..cluster import ClusterFeature
from .kit import PATIENCE, Kit, Reports
from .requirements import needs

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
            slowest = 0.0
            for number in range(20):
                began = time.monotonic()
                send(f"during {number}", b"k", -1, reports)
                slowest = max(slowest, time.monotonic() - began)
                consumer.poll(0.02)
            assert slowest < 0.05, "produce() waited for a broker that is down"
        finally:
            kit.cluster.start()

        assert producer.flush(60) == 0
        assert reports.codes == [None] * 21
        values: list[bytes | None] = []
        deadline = time.monotonic() + 2 * PATIENCE
        while b"during 19" not in values and time.monotonic() < deadline:
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                values.append(message.value())
        # Without idempotence a message may be written twice, but none is missing or late.
        assert list(dict.fromkeys(values)) == [f"during {number}".encode() for number in range(20)]
