"""A value that no message can have is one error of produce(), by name, and harms no other message:
the same on every backend, before and after the topic is known."""

from __future__ import annotations

import pytest


class Data(bytes):
    """As numpy's or a protocol buffer's wrapper."""


class Text(str):
    __slots__ = ()


REFUSED = {
    "timestamp": [2**63, -(2**63), 1.5, float("nan"), float("inf"), "1", b"1"],
    "partition": [-2, 2**31, 2**40, 0.0, None, "0", float("nan")],
    "headers": [
        *("abc", 5, b"abc", [5], ["ab"], [("a",)], [("a", b"1", 2)]),
        *([("a", 1)], {"a": 1.5}, [(b"a", b"1")], [(1, b"1")]),
        *([("a\0b", b"1")], [("\ud83d", b"1")], [("a", "\ud83d")]),
    ],
    "callback": [5, "print"],
    "on_delivery": [5],
}
NAMED = {"headers": "header", "on_delivery": "callback"}
TAKEN = [
    ({"timestamp": None}, None),
    ({"timestamp": -5}, None),
    ({"headers": (("a", b"1"), ("a", None))}, [("a", b"1"), ("a", None)]),
    ({"headers": {"a": None, "b": "text"}}, [("a", None), ("b", b"text")]),
    ({"headers": [["a", b"1"]]}, [("a", b"1")]),
    ({"headers": {"a": b"1"}.items()}, [("a", b"1")]),
    ({"headers": [("ä", "x\0y"), ("", bytearray(b"1"))]}, [("ä", b"x\0y"), ("", b"1")]),
    ({"headers": [("a", memoryview(b"1")), ("b", Data(b"2"))]}, [("a", b"1"), ("b", b"2")]),
    ({"headers": []}, None),
    ({"value": Data(b"data")}, None),
    ({"value": Text("data")}, None),
    ({"key": Data(b"data")}, None),
]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("by", ["producer", "channel"])
def test_what_no_message_can_have_is_refused_alone(world, known, by):
    channel = world.channel()
    producer = world.producer()
    if known:
        producer.produce(channel, b"before", on_delivery=lambda *_: None)
        assert producer.flush(10) == 0
    handle = producer.channel(channel)
    told = []

    def produce(value, **more):
        if by == "channel":
            return handle.produce(value, **more)
        return producer.produce(channel, value, **more)

    for name, values in REFUSED.items():
        for value in values:
            with pytest.raises((TypeError, ValueError), match=NAMED.get(name, name)):
                produce(b"odd", **{name: value})
            produce(b"after", on_delivery=lambda error, _: told.append(error))
    assert producer.flush(10) == 0
    assert told == [None] * sum(map(len, REFUSED.values()))


@pytest.mark.parametrize("known", [False, True])
def test_what_a_message_can_have_arrives(world, known):
    channel = world.channel()
    producer = world.producer()
    if known:
        producer.produce(channel, b"before", on_delivery=lambda *_: None)
        assert producer.flush(10) == 0
    told = []
    for more, _ in TAKEN:
        arguments = {"value": b"value", **more}
        producer.produce(channel, on_delivery=lambda error, _: told.append(error), **arguments)
    assert producer.flush(10) == 0
    assert told == [None] * len(TAKEN)
    found = world.read(world.consumer([channel]), len(TAKEN) + known)[int(known) :]
    for message, (more, headers) in zip(found, TAKEN, strict=True):
        assert message.headers() == headers, more
        assert message.value() == (b"data" if "value" in more else b"value")
        assert message.key() == more.get("key")
