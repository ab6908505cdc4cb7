"""What cannot be delivered: refused at once, or reported later, never blocking produce()."""

from __future__ import annotations

import statistics
import time

import pytest

from ...backend.contract import Capability
from ...errors import KafkaException
from ...messages import KafkaError
from ..cluster import LONG_MESSAGE, ClusterFeature
from .kit import PATIENCE, Kit, Reports
from .requirements import needs, requires

__all__ = ["FailureTests"]


def _fill(send: object, count: int, reports: Reports) -> None:
    """Produce `count` messages, none of which may wait for a broker.

    Half of the calls may be slow, for the machine has other things to do, and none very slow.
    """
    assert callable(send)
    waits = []
    for number in range(count):
        began = time.monotonic()
        send(str(number), b"k", -1, reports)
        waits.append(time.monotonic() - began)
    assert statistics.median(waits) < 0.05, waits
    assert max(waits) < 10, waits


class FailureTests:
    def test_full_queue_is_a_buffer_error_and_recovers(self, kit: Kit) -> None:
        topic = kit.topic()
        producer = kit.producer({"queue.buffering.max.messages": 10, "linger.ms": 100})
        send = producer.sender(topic)
        reports = Reports()
        _fill(send, 10, reports)
        with pytest.raises(BufferError):
            _fill(send, 1, reports)
        kit.serve_until(producer, lambda: len(producer) < 10)
        _fill(send, 1, reports)
        assert producer.flush(PATIENCE) == 0
        assert reports.codes == [None] * 11
        assert len(kit.read_all(topic, 11)) == 11

    def test_full_queue_by_bytes(self, kit: Kit) -> None:
        producer = kit.stranded_producer({"queue.buffering.max.kbytes": 100})
        send = producer.sender("t")
        with pytest.raises(BufferError):
            for _ in range(10):
                send(b"x" * 50_000)
        assert len(producer) >= 1

    def test_too_large_message_is_refused_at_once(self, kit: Kit) -> None:
        producer = kit.producer()
        with pytest.raises(KafkaException) as caught:
            producer.sender(kit.topic())(b"x" * 1_000_001)
        error = caught.value.args[0]
        assert isinstance(error, KafkaError)
        assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE
        assert len(producer) == 0

    def test_unknown_partition_of_a_known_topic_is_refused_at_once(self, kit: Kit) -> None:
        producer = kit.producer()
        send = producer.sender(kit.topic(2))
        send(b"makes the topic known")
        assert producer.flush(PATIENCE) == 0
        with pytest.raises(KafkaException) as caught:
            send(b"v", None, 99)
        assert caught.value.args[0].code() == KafkaError._UNKNOWN_PARTITION

    def test_unknown_partition_of_an_unknown_topic_is_reported(self, kit: Kit) -> None:
        producer = kit.producer({"linger.ms": 0})
        reports = Reports()
        try:
            producer.sender(kit.topic(2))(b"v", None, 99, reports)
        except KafkaException as refused:
            assert refused.args[0].code() == KafkaError._UNKNOWN_PARTITION
        else:
            assert producer.flush(PATIENCE) == 0
            assert reports.codes == [KafkaError._UNKNOWN_PARTITION]

    def test_unreachable_broker_never_blocks_and_messages_time_out(self, kit: Kit) -> None:
        opened = []
        for _ in range(3):
            began = time.monotonic()
            patient = kit.stranded_producer({"linger.ms": 5})
            send = patient.sender("t")
            opened.append(time.monotonic() - began)
        assert min(opened) < 0.5, "opening a producer waited for the broker"
        _fill(send, 100, Reports())

        producer = kit.stranded_producer({"message.timeout.ms": 1000, "linger.ms": 5})
        reports = Reports()
        began = time.monotonic()
        _fill(producer.sender("t"), 100, reports)
        assert len(producer) >= 100  # librdkafka counts its events, too
        kit.serve_until(producer, lambda: len(producer) == 0)
        assert reports.codes == [KafkaError._MSG_TIMED_OUT] * 100
        assert [message.value() for message in reports.messages] == [
            str(number).encode() for number in range(100)
        ]
        assert 0.9 < time.monotonic() - began < 15

    @needs(ClusterFeature.UNKNOWN_TOPICS)
    def test_unknown_topic_never_blocks_and_is_reported(self, kit: Kit) -> None:
        topic = kit.name("never-created")
        patient = kit.producer({"linger.ms": 5})
        _fill(patient.sender(topic), 5, Reports())

        producer = kit.producer({"message.timeout.ms": 1500, "linger.ms": 5})
        reports = Reports()
        _fill(producer.sender(topic), 5, reports)
        assert producer.flush(PATIENCE) == 0
        expected = {
            KafkaError._MSG_TIMED_OUT,
            KafkaError._UNKNOWN_TOPIC,
            KafkaError.UNKNOWN_TOPIC_OR_PART,
        }
        assert len(reports) == 5
        assert set(reports.codes) <= expected

    def test_flush_gives_up_in_time_and_tells_what_remains(self, kit: Kit) -> None:
        producer = kit.stranded_producer()
        _fill(producer.sender("t"), 3, Reports())
        began = time.monotonic()
        assert producer.flush(0.3) == 3
        assert time.monotonic() - began < 10

    @requires(Capability.PURGE)
    def test_purge_fails_what_is_queued(self, kit: Kit) -> None:
        producer = kit.stranded_producer()
        reports = Reports()
        _fill(producer.sender("t"), 20, reports)
        producer.purge(True, True, True)
        assert producer.flush(5) == 0
        assert len(reports) == 20
        assert set(reports.codes) <= {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT}

    @requires(Capability.PURGE)
    def test_purged_producer_stays_usable(self, kit: Kit) -> None:
        topic = kit.topic()
        producer = kit.producer({"linger.ms": 5000})
        send = producer.sender(topic)
        send(b"known")
        producer.flush(PATIENCE)
        purged, kept = Reports(), Reports()
        _fill(send, 5, purged)
        producer.purge(True, False, True)
        kit.serve_until(producer, lambda: len(purged) == 5)
        send(b"after", None, -1, kept)
        assert producer.flush(PATIENCE) == 0
        assert purged.codes == [KafkaError._PURGE_QUEUE] * 5
        assert kept.codes == [None]
        assert [m.value() for m in kit.read_all(topic, 2)] == [b"known", b"after"]

    def test_failed_report_keeps_key_and_value(self, kit: Kit) -> None:
        producer = kit.stranded_producer({"message.timeout.ms": 500})
        reports = Reports()
        producer.sender("lost")(b"value", b"key", -1, reports)
        assert producer.flush(10) == 0
        [(error, message)] = reports.all
        assert isinstance(error, KafkaError)
        assert (message.topic(), message.key(), message.value()) == ("lost", b"key", b"value")

    def test_refusal_by_the_broker_is_reported(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [b"makes the topic known"])
        producer = kit.producer({"linger.ms": 0})
        kit.cluster.refuse_long_messages(topic)
        reports = Reports()
        producer.sender(topic)(b"x" * 2 * LONG_MESSAGE, b"k", -1, reports)
        assert producer.flush(PATIENCE) == 0
        assert reports.codes == [KafkaError.MSG_SIZE_TOO_LARGE]
        producer.sender(topic)(b"short", b"k", -1, reports)
        assert producer.flush(PATIENCE) == 0
        assert reports.codes == [KafkaError.MSG_SIZE_TOO_LARGE, None]

    @needs(ClusterFeature.RESTART)
    def test_passing_trouble_of_the_broker_is_waited_out(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [b"0"])
        producer = kit.producer({"linger.ms": 0, "acks": "all", "retry.backoff.ms": 50})
        reports = Reports()
        with kit.cluster.writes_hindered():
            producer.sender(topic)(b"1", b"k", -1, reports)
            assert producer.flush(0.5) == 1
            assert reports.codes == []
        assert producer.flush(PATIENCE) == 0
        assert reports.codes == [None]
        assert [message.value() for message in kit.read_all(topic, 2)] == [b"0", b"1"]
