"""Keys, values and timestamps arrive as they were sent."""

from __future__ import annotations

import time

import pytest

from ...backend.contract import Capability
from ...messages import TIMESTAMP_CREATE_TIME, KafkaError, Message
from .kit import Kit
from .requirements import requires

__all__ = ["PayloadTests"]

_LATIN = "café".encode("latin-1")  # no UTF-8


class PayloadTests:
    @pytest.mark.parametrize(
        ("value", "key", "read_value", "read_key"),
        [
            (b"value", b"key", b"value", b"key"),
            ("straße", "größe", "straße".encode(), "größe".encode()),
            (b"value", None, b"value", None),
            (None, b"tombstone", None, b"tombstone"),
            (b"", b"", b"", b""),
            ("", "", b"", b""),
            (_LATIN, _LATIN, _LATIN, _LATIN),
            (bytes(range(256)) * 400, b"100 kB", bytes(range(256)) * 400, b"100 kB"),
        ],
        ids=["bytes", "str", "null-key", "tombstone", "empty", "empty-str", "latin-1", "large"],
    )
    def test_payload_arrives_as_it_was_sent(
        self,
        kit: Kit,
        value: bytes | str | None,
        key: bytes | str | None,
        read_value: bytes | None,
        read_key: bytes | None,
    ) -> None:
        topic = kit.topic()
        kit.write(topic, [value], key=key)
        [message] = kit.read_all(topic, 1)
        assert (message.value(), message.key()) == (read_value, read_key)

    @requires(Capability.NULL_KEY_AND_VALUE)
    def test_null_key_and_null_value(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [None])
        [message] = kit.read_all(topic, 1)
        assert (message.value(), message.key()) == (None, None)

    def test_payload_defaults(self, kit: Kit) -> None:
        topic = kit.topic()
        producer = kit.producer()
        producer.sender(topic)(b"only a value")
        assert producer.flush(10) == 0
        [message] = kit.read_all(topic, 1)
        assert (message.value(), message.key(), message.headers()) == (b"only a value", None, None)

    def test_messages_and_errors_are_of_kafkaroutes_types(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [b"v"])
        consumer = kit.consumer({"enable.partition.eof": True})
        kit.join(consumer, [topic])
        event = kit.event(consumer, KafkaError._PARTITION_EOF)
        [message] = kit.read_all(topic, 1)
        assert isinstance(message, Message)
        assert isinstance(event, Message)
        assert isinstance(event.error(), KafkaError)
        assert (message.topic(), message.partition(), message.offset()) == (topic, 0, 0)

    def test_explicit_timestamp(self, kit: Kit) -> None:
        topic = kit.topic()
        of_2013 = 1357034400123
        kit.write(topic, [b"v"], timestamp=of_2013)
        [message] = kit.read_all(topic, 1)
        assert message.timestamp() == (TIMESTAMP_CREATE_TIME, of_2013)

    def test_no_timestamp_is_now(self, kit: Kit) -> None:
        topic = kit.topic()
        before = time.time_ns() // 1_000_000
        kit.write(topic, [b"v"])
        after = time.time_ns() // 1_000_000
        [message] = kit.read_all(topic, 1)
        kind, milliseconds = message.timestamp()
        assert kind == TIMESTAMP_CREATE_TIME
        assert before <= milliseconds <= after + 1

    def test_explicit_partition(self, kit: Kit) -> None:
        topic = kit.topic(3)
        for partition in (2, 0, 1, 2):
            kit.write(topic, [f"to {partition}"], key=b"same key", partition=partition)
        messages = kit.read_all(topic, 4, range(3))
        assert sorted(message.partition() or 0 for message in messages) == [0, 1, 2, 2]
        assert {
            message.value() == f"to {message.partition()}".encode() for message in messages
        } == {True}
