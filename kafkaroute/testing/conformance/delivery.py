"""Delivery callbacks: once each, from poll() and flush(), on the caller's thread."""

from __future__ import annotations

import threading
import time

import pytest

from ...messages import KafkaError, Message
from .kit import PATIENCE, Kit, Reports

__all__ = ["DeliveryTests"]


class DeliveryTests:
    def test_callback_runs_in_poll_on_the_callers_thread(self, kit: Kit) -> None:
        topic = kit.topic()
        producer = kit.producer({"linger.ms": 0})
        threads: list[int] = []
        reports = Reports()

        def report(error: KafkaError | None, message: Message) -> None:
            threads.append(threading.get_ident())
            reports(error, message)

        producer.sender(topic)(b"value", b"key", -1, report)
        time.sleep(0.5)
        assert threads == [], "a callback ran while nobody polled"
        kit.serve_until(producer, lambda: threads)
        assert threads == [threading.get_ident()]
        [(error, message)] = reports.all
        assert error is None
        assert message.error() is None
        assert (message.topic(), message.partition(), message.offset()) == (topic, 0, 0)
        assert (message.key(), message.value()) == (b"key", b"value")

    def test_callback_runs_in_flush_on_the_callers_thread(self, kit: Kit) -> None:
        producer = kit.producer()
        threads: list[int] = []
        send = producer.sender(kit.topic())
        for _ in range(10):
            send(b"v", None, -1, lambda _error, _message: threads.append(threading.get_ident()))
        assert producer.flush(PATIENCE) == 0
        assert threads == [threading.get_ident()] * 10

    def test_callback_runs_once(self, kit: Kit) -> None:
        producer = kit.producer()
        reports = Reports()
        send = producer.sender(kit.topic())
        for number in range(100):
            send(str(number), None, -1, reports)
        producer.flush(PATIENCE)
        producer.poll(0.2)
        producer.flush(1)
        assert sorted(int(message.value() or b"-1") for message in reports.messages) == list(
            range(100)
        )
        assert producer.close(1) == 0
        assert len(reports) == 100

    def test_reports_count_up_offsets(self, kit: Kit) -> None:
        assert [message.offset() for message in kit.write(kit.topic(), "abc")] == [0, 1, 2]

    def test_poll_tells_whether_anything_was_served(self, kit: Kit) -> None:
        # How much it tells differs: librdkafka counts a batch of reports as one event.
        producer = kit.producer({"linger.ms": 0})
        reports = Reports()
        send = producer.sender(kit.topic())
        for _ in range(5):
            send(b"v", None, -1, reports)
        deadline = time.monotonic() + PATIENCE
        while len(reports) < 5 and time.monotonic() < deadline:
            before = len(reports)
            served = producer.poll(0.1)
            assert bool(served) == (len(reports) > before)
        assert len(reports) == 5
        assert producer.poll(0) == 0

    def test_producer_polls_no_longer_than_asked(self, kit: Kit) -> None:
        producer = kit.producer()
        began = time.monotonic()
        assert producer.poll(0.3) == 0
        assert 0.2 <= time.monotonic() - began < 10
        waits = []
        for _ in range(5):
            began = time.monotonic()
            assert producer.poll(0) == 0
            waits.append(time.monotonic() - began)
        assert min(waits) < 0.1, waits

    def test_length_counts_what_is_not_delivered(self, kit: Kit) -> None:
        producer = kit.producer({"linger.ms": 300})
        send = producer.sender(kit.topic())
        assert len(producer) == 0
        for _ in range(7):
            send(b"v", None, -1, Reports())
        assert len(producer) == 7
        assert producer.flush(PATIENCE) == 0
        assert len(producer) == 0

    def test_length_sinks_without_callbacks(self, kit: Kit) -> None:
        producer = kit.producer({"linger.ms": 0})
        send = producer.sender(kit.topic())
        for _ in range(7):
            send(b"v")
        kit.serve_until(producer, lambda: len(producer) == 0)

    def test_exception_in_a_delivery_callback_reaches_the_caller(self, kit: Kit) -> None:
        producer = kit.producer({"linger.ms": 0})
        reports = Reports()

        def fail(_error: object, _message: object) -> None:
            raise ZeroDivisionError("from the callback")

        send = producer.sender(kit.topic())
        send(b"1", None, -1, reports)
        send(b"2", None, -1, fail)
        send(b"3", None, -1, reports)
        with pytest.raises(ZeroDivisionError, match="from the callback"):
            producer.flush(PATIENCE)
        assert producer.flush(PATIENCE) == 0
        assert reports.codes == [None, None]

    def test_flush_is_not_held_up_by_linger(self, kit: Kit) -> None:
        producer = kit.producer({"linger.ms": 30_000})
        producer.sender(kit.topic())(b"v")
        began = time.monotonic()
        assert producer.flush(PATIENCE) == 0
        assert time.monotonic() - began < 10

    def test_latency_is_told(self, kit: Kit) -> None:
        [message] = kit.write(kit.topic(), [b"v"])
        latency = message.latency()
        assert latency is not None
        assert 0 <= latency < PATIENCE

    def test_callback_may_produce(self, kit: Kit) -> None:
        topic = kit.topic()
        producer = kit.producer({"linger.ms": 0})
        send = producer.sender(topic)
        reports = Reports()
        send(b"first", None, -1, lambda _error, _message: send(b"second", None, -1, reports))
        kit.serve_until(producer, lambda: len(reports) == 1)
        assert [message.value() for message in kit.read_all(topic, 2)] == [b"first", b"second"]
