"""What this backend does for each message, in both builds (`make test`, `make test-compiled`)."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from kafkaroute import Message
from kafkaroute.messages import TIMESTAMP_CREATE_TIME, KafkaError, Origin
from kafkaroute_kafka_python.consuming.consumed import UNKNOWN_TIME, ConsumedMessage, consumed
from kafkaroute_kafka_python.partitioner import PARTITIONERS
from kafkaroute_kafka_python.producing.reports import Outcome, Reports, failed
from kafkaroute_kafka_python.producing.sending import make_sender
from kafkaroute_kafka_python.producing.topics import Topic

ORIGIN = Origin("kafka://example.com/orders")
RECORD = {
    "topic": "t",
    "partition": 3,
    "offset": 2**62 + 1,
    "key": b"k",
    "value": b"v",
    "headers": [("h", None)],
    "timestamp": 5,
    "timestamp_type": 0,
    "leader_epoch": 9,
}


class Index:
    """A number to whoever asks by ``__index__``, as numpy's are."""

    def __index__(self) -> int:
        return 1

    def __lt__(self, other: object) -> bool:
        return False


def record(**fields: Any) -> ConsumedMessage:
    message = consumed(SimpleNamespace(**RECORD | fields))
    message._origin = ORIGIN
    return message


# Consumed messages.


def test_a_consumed_message_as_an_object() -> None:
    message = record()
    assert isinstance(message, Message)
    assert repr(message) == f"<Message kafka://example.com/orders t[3]@{2**62 + 1} error=None>"
    assert type(message).__module__ == "kafkaroute_kafka_python.consuming.consumed"
    assert (message.error(), message.latency(), len(message)) == (None, None, 1)
    assert message.origin() is ORIGIN
    with pytest.raises(AttributeError):
        message.other = 1  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        ConsumedMessage().topic()
    with pytest.raises(TypeError):
        weakref.ref(message)


def told(message: Any) -> list[Any]:
    names = "topic partition offset key value headers timestamp leader_epoch channel origin"
    return [getattr(message, name)() for name in names.split()]


def test_copies_and_pickles_are_the_same() -> None:
    message = record()
    for other in (copy.copy(message), copy.deepcopy(message), pickle.loads(pickle.dumps(message))):
        assert type(other) is ConsumedMessage
        assert told(other) == told(message)


@pytest.mark.parametrize(
    "value",
    [None, b"", b"v", memoryview(b"v"), bytearray(b"v")],
    ids=lambda held: type(held).__name__,
)
def test_what_the_library_read_is_answered(value: Any) -> None:
    message = record(key=value, value=value)
    assert message.key() is value
    assert message.value() is value
    assert len(message) == len(value or b"")


def test_what_the_library_does_not_tell() -> None:
    message = record(timestamp=None, leader_epoch=None, headers=())
    assert (message.timestamp(), message.leader_epoch()) == (UNKNOWN_TIME, None)
    assert message.headers() is None
    assert record(timestamp=-1).timestamp() == UNKNOWN_TIME
    assert record(leader_epoch=-1).leader_epoch() is None


# Sending.


class World:
    """A sender without a client behind it."""

    def __init__(self, callback: Any = None) -> None:
        self.appended: list[Any] = []
        self.reports = Reports(10, 1000, only_errors=False)
        self.topic = Topic("t", PARTITIONERS["murmur2"], 0.0)
        self.topic.set_count(2)
        self.topic.ready = True
        appended = self.appended
        producer = SimpleNamespace(
            _reports=self.reports,
            _plan=SimpleNamespace(max_message_bytes=100),
            _default_callback=callback,
            _transactions=None,
            _append=lambda *message: appended.append(message),
            _closed=False,
        )
        self.send = make_sender(producer, self.topic)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data",
    [b"v", "v", bytearray(b"v"), memoryview(b"v"), type("B", (bytes,), {})(b"v")],
    ids=lambda data: type(data).__name__,
)
def test_any_buffer_is_sent(data: Any) -> None:
    world = World()
    world.send(data, data)
    [(partition, _, key, value, headers, entry, _)] = world.appended
    assert (key, value, headers, entry) == (b"v", b"v", [], 2)
    assert partition == world.topic.partitions[PARTITIONERS["murmur2"](b"v", 2)]


@pytest.mark.parametrize("partition", [True, Index(), type("I", (int,), {})(1)])
def test_any_number_is_a_partition(partition: Any) -> None:
    world = World()
    world.send(b"v", None, partition)
    assert world.appended[0][0] == world.topic.partitions[1]


def test_a_timestamp_is_reported_as_it_was_given() -> None:
    world, seen = World(), []
    given = type("I", (int,), {})(77)
    world.send(b"v", None, 0, lambda error, message: seen.append((error, message)), given)
    world.reports.settle(Outcome("t", 0, 5, -1, None), [world.appended[0][5]])
    assert world.reports.serve(0) == 1
    [(error, message)] = seen
    assert error is None
    assert type(message) is Message
    assert message.timestamp()[0] == TIMESTAMP_CREATE_TIME
    assert message.timestamp()[1] is given


def test_wrong_arguments_are_refused_and_not_counted() -> None:
    world = World()
    for arguments, error in (
        ((1,), TypeError),
        ((b"v", 1.5), TypeError),
        ((b"v", None, "1"), TypeError),
        ((b"v", None, -1, None, 0, [("h", 1)]), TypeError),
        ((b"v", None, -1, None, 0, [(1, b"h")]), TypeError),
    ):
        with pytest.raises(error):
            world.send(*arguments)  # type: ignore[arg-type]
    assert (world.reports.messages, world.reports.bytes, world.appended) == (0, 0, [])


def test_what_a_callback_raises_leaves_serve_and_the_rest_stays() -> None:
    seen: list[Any] = []

    def callback(error: Any, _message: Any) -> None:
        seen.append(error)
        if len(seen) == 1:
            raise LookupError("the application's")

    world = World(callback)
    world.send(b"1", None, 0)
    world.send(b"2", None, 0)
    entries = [message[5] for message in world.appended]
    world.reports.settle(failed("t", 0, KafkaError(KafkaError._PURGE_QUEUE)), entries)
    with pytest.raises(LookupError) as caught:
        world.reports.serve(0)
    assert caught.value.__context__ is None
    assert world.reports.serve(0) == 1
    assert [error.code() for error in seen] == [KafkaError._PURGE_QUEUE] * 2
    assert world.reports.messages == 0


def test_a_sender_is_freed_without_the_collector() -> None:
    class Application:
        def heard(self, *_: Any) -> None: ...

    application = Application()
    freed = weakref.ref(application)
    world = World(application.heard)
    world.send(b"v", None, 0, application.heard)
    gc.disable()
    try:
        del application, world
        assert freed() is None
    finally:
        gc.enable()
