"""What open_producer's `on_failure` and `only_failures` promise: every failure told once, with all
that is needed to produce the message again; nothing for a success."""

from __future__ import annotations

import time

import pytest

from ...backend.contract import Capability
from ...messages import KafkaError, Message
from ...producer.undelivered import ReportClock, Undelivered, in_order
from ..cluster import ClusterFeature
from .kit import PATIENCE, Kit, Reports
from .requirements import needs, requires

__all__ = ["FailureReportTests"]

_PURGED = {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT}


def _agree(told: list[tuple[float, float]], calls: list[tuple[float, float]]) -> None:
    """When messages were produced, by their latency, against the calls of produce()."""
    for (earliest, latest), (before, after) in zip(told, calls, strict=True):
        assert earliest - 0.001 <= after
        assert before - 0.001 <= latest


class FailureReportTests:
    def test_default_callback_hears_of_failures(self, kit: Kit) -> None:
        failures = Reports()
        producer = kit.stranded_producer({"message.timeout.ms": 500}, on_failure=failures)
        producer.sender("lost")(b"value", b"key")
        assert producer.flush(10) == 0
        [(error, message)] = failures.all
        assert isinstance(error, KafkaError)
        assert error.code() == KafkaError._MSG_TIMED_OUT
        assert message.error() == error
        assert (message.topic(), message.key(), message.value()) == ("lost", b"key", b"value")

    def test_own_callback_wins_over_the_default_one(self, kit: Kit) -> None:
        failures, own = Reports(), Reports()
        producer = kit.stranded_producer({"message.timeout.ms": 500}, on_failure=failures)
        send = producer.sender("lost")
        send(b"default", b"k")
        send(b"own", b"k", -1, own)
        assert producer.flush(10) == 0
        assert [message.value() for message in failures.messages] == [b"default"]
        assert [message.value() for message in own.messages] == [b"own"]

    def test_own_callback_hears_of_success_beside_a_default_one(self, kit: Kit) -> None:
        failures, own = Reports(), Reports()
        producer = kit.producer({"linger.ms": 0}, on_failure=failures)
        send = producer.sender(kit.topic())
        send(b"default")
        send(b"own", None, -1, own)
        assert producer.flush(PATIENCE) == 0
        assert own.codes == [None]
        assert set(failures.codes) <= {None}

    def test_only_failures_are_reported_when_asked(self, kit: Kit) -> None:
        topic = kit.topic()
        failures, own = Reports(), Reports()
        producer = kit.producer({"linger.ms": 0}, on_failure=failures, only_failures=True)
        send = producer.sender(topic)
        for number in range(20):
            send(str(number), b"k")
            send(str(number), b"k", -1, own)
        assert producer.flush(PATIENCE) == 0
        assert len(producer) == 0
        assert (failures.all, own.all) == ([], [])
        assert len(kit.read_all(topic, 40)) == 40

    def test_only_failures_without_a_default_callback(self, kit: Kit) -> None:
        own = Reports()
        producer = kit.stranded_producer({"message.timeout.ms": 500}, only_failures=True)
        producer.sender("lost")(b"own", b"k", -1, own)
        producer.sender("lost")(b"nobody asks", b"k")
        assert producer.flush(10) == 0
        assert own.codes == [KafkaError._MSG_TIMED_OUT]

    def test_only_failures_of_the_applications_settings_still_counts(self, kit: Kit) -> None:
        failures, own = Reports(), Reports()
        producer = kit.producer(
            {"linger.ms": 0, "delivery.report.only.error": True}, on_failure=failures
        )
        send = producer.sender(kit.topic())
        send(b"default")
        send(b"own", None, -1, own)
        assert producer.flush(PATIENCE) == 0
        assert (failures.all, own.all) == ([], [])

    def test_refusal_by_the_broker_tells_where_the_message_was_going(self, kit: Kit) -> None:
        topic = kit.topic(2)
        kit.write(topic, [b"makes the topic known"], partition=1)
        failures = Reports()
        producer = kit.producer({"linger.ms": 0}, on_failure=failures, only_failures=True)
        kit.cluster.refuse_long_messages(topic)
        value = b"x" * 20_000
        producer.sender(topic)(value, b"k", 1)
        assert producer.flush(PATIENCE) == 0
        [(error, message)] = failures.all
        assert isinstance(error, KafkaError)
        assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE
        assert (message.topic(), message.partition()) == (topic, 1)
        assert (message.key(), message.value()) == (b"k", value)

    def test_latency_leads_back_to_the_call_of_produce(self, kit: Kit) -> None:
        told: list[tuple[float, float]] = []
        clock = ReportClock()

        def report(_: KafkaError | None, message: Message) -> None:
            latency = message.latency()
            assert latency is not None
            told.append(clock.bounds(latency))
            clock.done()

        producer = kit.stranded_producer({"message.timeout.ms": 400}, on_failure=report)
        send = producer.sender("lost")
        calls = []
        for number in range(5):
            before = time.monotonic()
            send(str(number), b"k")
            calls.append((before, time.monotonic()))
            time.sleep(0.02)
        time.sleep(0.8)  # what nobody polls for waits; its latency goes on
        clock.done()
        kit.serve_until(producer, lambda: len(told) == 5)
        _agree(told, calls)

    @requires(Capability.PURGE)
    @needs(ClusterFeature.RESTART)
    @pytest.mark.parametrize("idempotence", [False, True], ids=["plain", "idempotent"])
    def test_purge_reports_each_message_once_in_order(self, kit: Kit, idempotence: bool) -> None:
        topic = kit.topic(2)
        failures = Reports()
        rescued: list[Undelivered] = []
        clock = ReportClock()

        def report(error: KafkaError | None, message: Message) -> None:
            latency = message.latency()
            assert latency is not None
            bounds = clock.bounds(latency)
            rescued.append(
                Undelivered(
                    "", message.value(), None, -1, None, 0, None, 0.0, message.partition(), *bounds
                )
            )
            failures(error, message)
            clock.done()

        producer = kit.producer(
            {
                "linger.ms": 0,
                "batch.num.messages": 50,
                "enable.idempotence": idempotence,
                # The mock's answers count down with every retry.
                "retry.backoff.ms": 100,
            },
            on_failure=report,
            only_failures=True,
        )
        send = producer.sender(topic)
        for number in range(2):
            send(b"known", None, number)
        assert producer.flush(PATIENCE) == 0
        with kit.cluster.writes_hindered():
            produced: dict[int, list[bytes]] = {0: [], 1: []}
            for number in range(1000):
                if number == 500:
                    producer.poll(0.3)  # so that the first half is in flight
                value = b"%d" % number
                send(value, b"key", number % 2)
                produced[number % 2].append(value)
            began = time.monotonic()
            clock.done()
            producer.purge(True, True, True)
            kit.serve_until(producer, lambda: len(failures) >= 1000)
            assert time.monotonic() - began < 10, "it waited for the broker"
            assert set(failures.codes) <= _PURGED
            for partition, values in produced.items():
                messages = [m for m in failures.messages if m.partition() == partition]
                assert [m.value for m in in_order(rescued) if m.landed == partition] == values
                assert {(message.topic(), message.key()) for message in messages} == {
                    (topic, b"key")
                }
            producer.poll(0.3)
        assert len(failures) == 1000, "a message was reported again"

        # The client is as good as new, also where the broker expects sequence numbers.
        for number in range(2):
            send(b"after", b"key", number)
        assert producer.flush(PATIENCE) == 0
        assert len(failures) == 1000, failures.codes[1000:]
        kit.write(topic, [b"end"], partition=0)
        reader = kit.reader(topic, (0,))
        read: list[bytes | None] = []
        while not read or read[-1] != b"end":
            read += [message.value() for message in kit.read(reader, 1)]
        assert read[0] == b"known"
        assert b"after" in read
        never_sent = {
            message.value()
            for error, message in failures.all
            if error is not None and error.code() == KafkaError._PURGE_QUEUE
        }
        assert not never_sent & set(read), "what was purged from the queue was written"

    @requires(Capability.PURGE)
    def test_purged_messages_tell_when_they_were_produced(self, kit: Kit) -> None:
        told: list[tuple[float, float]] = []
        clock = ReportClock()

        def report(_: KafkaError | None, message: Message) -> None:
            latency = message.latency()
            assert latency is not None
            told.append(clock.bounds(latency))
            clock.done()

        producer = kit.stranded_producer(on_failure=report, only_failures=True)
        send = producer.sender("lost")
        calls = []
        for number in range(20):
            before = time.monotonic()
            send(str(number), b"k")
            calls.append((before, time.monotonic()))
            time.sleep(0.005)
        producer.purge(True, True, True)
        time.sleep(0.3)
        clock.done()
        kit.serve_until(producer, lambda: len(told) == 20)
        _agree(told, calls)

    @requires(Capability.PURGE)
    def test_close_reports_what_is_left_once_and_in_order(self, kit: Kit) -> None:
        failures = Reports()
        producer = kit.stranded_producer(on_failure=failures, only_failures=True)
        send = producer.sender("lost")
        for number in range(200):
            send(str(number), b"k")
        began = time.monotonic()
        assert producer.close(0) == 200
        assert time.monotonic() - began < 10
        assert len(failures) == 200
        assert [message.value() for message in failures.messages] == [
            str(number).encode() for number in range(200)
        ]

    def test_raising_callback_hides_no_other_report(self, kit: Kit) -> None:
        told: list[bytes | None] = []

        def report(_: KafkaError | None, message: Message) -> None:
            told.append(message.value())
            if message.value() in {b"1", b"3"}:
                raise RuntimeError("the application's own")

        producer = kit.stranded_producer({"message.timeout.ms": 500}, on_failure=report)
        send = producer.sender("lost")
        for number in range(5):
            send(str(number), b"k")
        raised = 0
        deadline = time.monotonic() + PATIENCE
        while len(told) < 5 and time.monotonic() < deadline:
            try:
                producer.poll(0.1)
            except RuntimeError:
                raised += 1
        assert told == [b"0", b"1", b"2", b"3", b"4"]
        assert raised >= 1
        assert producer.flush(1) == 0

    def test_raising_callback_does_not_keep_close_from_freeing(self, kit: Kit) -> None:
        told: list[bytes | None] = []

        def report(_: KafkaError | None, message: Message) -> None:
            told.append(message.value())
            raise RuntimeError("the application's own")

        producer = kit.stranded_producer(on_failure=report)
        for number in range(3):
            producer.sender("lost")(str(number), b"k")
        with pytest.raises(RuntimeError, match="the application's own"):
            producer.close(0.1)
        assert told == [b"0", b"1", b"2"]
        assert producer.close(0.1) == 0
