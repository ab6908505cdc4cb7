"""A consumed message around a native one, in both builds (`make test`, `make test-compiled`)."""

from __future__ import annotations

import copy
import pickle
import weakref
from typing import Any

import confluent_kafka
import pytest

from kafkaroute import Message
from kafkaroute.backend.registry import get_backend
from kafkaroute.messages import Origin
from kafkaroute_confluent.consumed import ConsumedMessage, wrapped

ORIGIN = Origin("kafka://example.com/orders")


class Native:
    """What a native message answers, and what a deserializer has put there."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def __getattr__(self, name: str) -> Any:
        return lambda: self.fields[name]

    def __len__(self) -> int:
        return 7

    def set_value(self, value: Any) -> None:
        self.fields["value"] = value


def made(native: Any, origin: Any = ORIGIN) -> ConsumedMessage:
    message = ConsumedMessage()
    message._native = native
    message._origin = origin
    return message


@pytest.mark.parametrize(
    "name",
    [
        "topic",
        "partition",
        "offset",
        "key",
        "value",
        "headers",
        "error",
        "timestamp",
        "latency",
        "leader_epoch",
    ],
)
@pytest.mark.parametrize(
    "held",
    [None, b"x", "x", 3, 2**70, 1.5, {"a": [1]}, object()],
    ids=lambda held: type(held).__name__,
)
def test_whatever_a_native_message_holds_is_answered(name: str, held: Any) -> None:
    assert getattr(made(Native(**{name: held})), name)() is held


def test_what_a_native_message_raises_is_raised() -> None:
    with pytest.raises(KeyError, match="value"):
        made(Native()).value()


def test_deserializers_replace_parts() -> None:
    message = made(Native(value=b"1"))
    message.set_value({"deserialized": 1})
    assert message.value() == {"deserialized": 1}
    assert len(message) == 7


def test_origins_of_a_batch_are_looked_up_when_they_are_asked_for() -> None:
    natives = [Native(topic="orders"), Native(topic="others"), Native(topic=None)]
    messages = wrapped(natives, {"orders": ORIGIN})
    assert [type(message) for message in messages] == [ConsumedMessage] * 3
    assert [message.channel() for message in messages] == [ORIGIN.channel, None, None]
    assert messages[0].origin() is ORIGIN
    assert wrapped([], {}) == []


def test_a_consumed_message_as_an_object() -> None:
    message = made(Native(topic="orders", partition=1, offset=2, error=None))
    assert isinstance(message, Message)
    assert repr(message) == "<Message kafka://example.com/orders orders[1]@2 error=None>"
    assert type(message).__module__ == "kafkaroute_confluent.consumed"
    copied = copy.copy(message)
    assert (copied._native, copied._origin) == (message._native, ORIGIN)
    with pytest.raises(AttributeError):
        message.other = 1  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        _ = ConsumedMessage()._native
    with pytest.raises(TypeError):
        weakref.ref(message)
    with pytest.raises(TypeError):
        pickle.dumps(made(memoryview(b"no more than a native message")))


def test_a_handle_takes_what_the_bare_client_takes(embedded_cluster: Any) -> None:
    """Each argument through the native call: taken by both or refused by both."""
    topic = embedded_cluster.new_topic(4, "taken")
    backend = get_backend("confluent-kafka")
    config = embedded_cluster.client_config()
    bare = confluent_kafka.Producer(config)
    client = backend.open_producer(config)
    native = client.native_sender(topic)
    assert native is not None

    def outcome(call: Any, *arguments: Any) -> type[BaseException] | None:
        try:
            call(*arguments)
        except Exception as error:
            return type(error)
        return None

    from kafkaroute.producer.channel_producer import ChannelProducer
    from kafkaroute.producer.reports import Reports
    from kafkaroute.producer.sender import ChannelSender

    sender = ChannelSender(Reports(None, None, quiet=False), "c", native)  # type: ignore[arg-type]
    senders = {"c": (native.send, sender.full, native.refuse)}
    handle = ChannelProducer(
        type("P", (), {"_senders": senders, "_connect": None})(),  # type: ignore[arg-type]
        "c",
    )
    heard: list[Any] = []

    def hear(error: Any, _message: Any) -> None:
        heard.append(error)

    payloads = [b"v", "v", None, bytearray(b"v"), memoryview(b"v"), 1, object()]
    taken = 0
    for payload in payloads:
        for rest in ((), (1,), (1, None, hear), (-1, None, hear), (2, None, hear, 5, [("h", "1")])):
            expected = outcome(bare.produce, topic, payload, payload, *rest)
            assert outcome(handle.produce, payload, payload, *rest) is expected, (payload, rest)
            taken += expected is None
    assert taken >= 15
    bare.flush(10)
    client.flush(10)
    assert heard
    assert set(heard) == {None}
    client.close(10)
