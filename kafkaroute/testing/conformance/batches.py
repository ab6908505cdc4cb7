"""Many messages, settings of batches, several threads: all arrive, once, in order."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

import pytest

from .kit import PATIENCE, Kit, Reports

__all__ = ["BatchTests"]


class BatchTests:
    def test_ten_thousand_messages_arrive_once_and_in_order(self, kit: Kit) -> None:
        topic = kit.topic(4)
        # Without idempotence a request that is retried (the topic's leader is not yet elected)
        # may land behind its successors: seen on a busy machine.
        producer = kit.producer({"enable.idempotence": True, "acks": "all"})
        send = producer.sender(topic)
        reports = Reports()
        for number in range(10_000):
            send(str(number), f"key-{number % 50}", -1, reports)
            if number % 500 == 0:
                producer.poll(0)
        assert producer.flush(60) == 0
        assert len(reports) == 10_000
        assert set(reports.codes) == {None}

        by_key: dict[bytes | None, list[int]] = defaultdict(list)
        for message in kit.read_all(topic, 10_000, range(4)):
            by_key[message.key()].append(int(message.value() or b"-1"))
        assert len(by_key) == 50
        for key, numbers in by_key.items():
            assert key is not None
            first = int(key.removeprefix(b"key-"))
            assert numbers == list(range(first, 10_000, 50))

    @pytest.mark.parametrize(
        "settings",
        [
            {"acks": "all"},
            {"acks": 1},
            {"acks": "0"},
            {"linger.ms": "50"},
            {"linger.ms": 0, "batch.num.messages": 1},
            {"compression.type": "gzip"},
            {"compression.type": "none"},
            {"enable.idempotence": True, "acks": "all"},
            {"enable.idempotence": "true"},
            {"retries": "3", "retry.backoff.ms": "50"},
        ],
        ids=lambda settings: ",".join(f"{key}={value}" for key, value in settings.items()),
    )
    def test_batch_settings_deliver(self, kit: Kit, settings: dict[str, Any]) -> None:
        topic = kit.topic()
        producer = kit.producer(settings)
        send = producer.sender(topic)
        reports = Reports()
        sent = [f"{number} {'x' * 100}".encode() for number in range(50)]
        for value in sent:
            send(value, b"k", -1, reports)
        assert producer.flush(PATIENCE) == 0
        assert reports.codes == [None] * 50
        assert [message.value() for message in kit.read_all(topic, 50)] == sent

    def test_one_producer_serves_many_topics(self, kit: Kit) -> None:
        topics = [kit.topic() for _ in range(5)]
        producer = kit.producer()
        senders = [producer.sender(topic) for topic in topics]
        for number in range(20):
            for topic, send in zip(topics, senders, strict=True):
                send(f"{topic} {number}")
        assert producer.flush(PATIENCE) == 0
        for topic in topics:
            values = [message.value() for message in kit.read_all(topic, 20)]
            assert values == [f"{topic} {number}".encode() for number in range(20)]

    def test_several_threads_produce(self, kit: Kit) -> None:
        topic = kit.topic()
        producer = kit.producer()
        send = producer.sender(topic)
        reports = Reports()

        def work(name: int) -> None:
            for number in range(250):
                send(f"{name}:{number}", None, 0, reports)

        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert producer.flush(PATIENCE) == 0
        assert reports.codes == [None] * 1000
        by_thread = defaultdict(list)
        for message in kit.read_all(topic, 1000):
            name, number = (message.value() or b"").decode().split(":")
            by_thread[name].append(int(number))
        assert dict(by_thread) == {str(name): list(range(250)) for name in range(4)}
