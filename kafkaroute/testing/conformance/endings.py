"""close(): what is left is delivered or failed, twice is fine, use after it is an error."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from ...backend.contract import BackendConsumer, BackendProducer
from ...errors import ClosedError
from ...messages import TopicPartition
from .kit import Kit, Reports

__all__ = ["EndingTests"]

_HERE = [TopicPartition("t", 0, 0)]
_PRODUCER_CALLS: dict[str, Callable[[BackendProducer], Any]] = {
    "sender": lambda producer: producer.sender("t")(b"v"),
    "poll": lambda producer: producer.poll(0),
    "flush": lambda producer: producer.flush(0),
    "list_topics": lambda producer: producer.list_topics(None, 1),
}
_CONSUMER_CALLS: dict[str, Callable[[BackendConsumer], Any]] = {
    "poll": lambda consumer: consumer.poll(0),
    "ready": lambda consumer: consumer.ready(),
    "consume": lambda consumer: consumer.consume(1, 0),
    "subscribe": lambda consumer: consumer.subscribe(["t"], None, None, None),
    "unsubscribe": lambda consumer: consumer.unsubscribe(),
    "assign": lambda consumer: consumer.assign(_HERE),
    "unassign": lambda consumer: consumer.unassign(),
    "incremental_assign": lambda consumer: consumer.incremental_assign(_HERE),
    "incremental_unassign": lambda consumer: consumer.incremental_unassign(_HERE),
    "assignment": lambda consumer: consumer.assignment(),
    "commit": lambda consumer: consumer.commit(None, False),
    "store_offsets": lambda consumer: consumer.store_offsets(_HERE),
    "committed": lambda consumer: consumer.committed(_HERE, 1),
    "position": lambda consumer: consumer.position(_HERE),
    "seek": lambda consumer: consumer.seek(_HERE[0]),
    "pause": lambda consumer: consumer.pause(_HERE),
    "resume": lambda consumer: consumer.resume(_HERE),
    "get_watermark_offsets": lambda consumer: consumer.get_watermark_offsets(_HERE[0], 1, False),
    "list_topics": lambda consumer: consumer.list_topics(None, 1),
}


class EndingTests:
    def test_close_delivers_what_it_can(self, kit: Kit) -> None:
        topic = kit.topic()
        producer = kit.producer({"linger.ms": 500})
        reports = Reports()
        send = producer.sender(topic)
        for number in range(100):
            send(str(number), None, -1, reports)
        assert producer.close(20) == 0
        assert reports.codes == [None] * 100
        assert len(kit.read_all(topic, 100)) == 100

    def test_close_fails_the_rest_in_time(self, kit: Kit) -> None:
        producer = kit.stranded_producer()
        reports = Reports()
        send = producer.sender("t")
        for number in range(5):
            send(str(number), None, -1, reports)
        began = time.monotonic()
        assert producer.close(0.3) == 5
        assert time.monotonic() - began < 15
        assert len(reports) == 5
        assert None not in reports.codes

    def test_producer_may_be_closed_twice(self, kit: Kit) -> None:
        producer = kit.producer()
        assert producer.close(5) == 0
        assert producer.close(5) == 0

    @pytest.mark.parametrize("call", _PRODUCER_CALLS.values(), ids=_PRODUCER_CALLS)
    def test_closed_producer_refuses(
        self, kit: Kit, call: Callable[[BackendProducer], Any]
    ) -> None:
        producer = kit.producer()
        producer.close(5)
        with pytest.raises(ClosedError):
            call(producer)

    def test_sender_of_a_closed_producer_refuses(self, kit: Kit) -> None:
        producer = kit.producer()
        send = producer.sender(kit.topic())
        send(b"v")
        producer.close(10)
        with pytest.raises(ClosedError):
            send(b"v")

    def test_consumer_may_be_closed_twice(self, kit: Kit) -> None:
        consumer = kit.consumer()
        kit.join(consumer, [kit.topic()])
        consumer.close()
        consumer.close()

    def test_unused_consumer_closes_at_once(self, kit: Kit) -> None:
        consumer = kit.consumer()
        began = time.monotonic()
        consumer.close()
        assert time.monotonic() - began < 5

    @pytest.mark.parametrize("call", _CONSUMER_CALLS.values(), ids=_CONSUMER_CALLS)
    def test_closed_consumer_refuses(
        self, kit: Kit, call: Callable[[BackendConsumer], Any]
    ) -> None:
        consumer = kit.consumer()
        consumer.close()
        with pytest.raises(ClosedError):
            call(consumer)

    def test_many_clients_come_and_go(self, kit: Kit) -> None:
        topic = kit.topic()
        for number in range(5):
            producer = kit.producer({"linger.ms": 0})
            producer.sender(topic)(str(number))
            assert producer.close(10) == 0
        assert len(kit.read_all(topic, 5)) == 5
