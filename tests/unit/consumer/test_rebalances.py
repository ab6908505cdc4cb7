"""The Consumer over fake native consumers: rebalance callbacks."""

import threading

import pytest

from kafkaroute import (
    KafkaException,
    TopicPartition,
)

from . import consumer_world
from .consumer_world import A, B, C, calls

world = consumer_world.world
consumer = consumer_world.consumer


def test_callbacks_get_the_consumer_and_partitions_with_channels(world, consumer):
    seen = []

    def note(kind):
        return lambda who, parts: seen.append(
            (kind, who is consumer, [p.channel for p in parts], threading.get_ident())
        )

    consumer.subscribe(
        [A, B], on_assign=note("assign"), on_revoke=note("revoke"), on_lost=note("lost")
    )
    b = world.on("B")
    for callback in b.callbacks:
        b.inbox.append(lambda callback=callback: callback([TopicPartition("tb", 0)]))
    consumer.consume(10, 0.1)
    me = threading.get_ident()
    assert seen == [(kind, True, [B], me) for kind in ("assign", "revoke", "lost")]


def test_calls_inside_a_callback_concern_its_cluster(world, consumer):
    def on_assign(who, parts):
        for part in parts:
            part.offset = 42
        who.assign(parts)

    def on_revoke(who, parts):
        who.commit(offsets=[TopicPartition(p.channel, p.partition, 7) for p in parts])
        who.unassign()

    consumer.subscribe([A, C], on_assign=on_assign, on_revoke=on_revoke)
    c = world.on("C")
    c.assign_callback("ta")
    c.revoke("ta")
    consumer.consume(10, 0.1)
    assert calls(c, "assign") == [(["TopicPartition(ta[0]@42)"],)]
    assert calls(c, "commit") == [(["TopicPartition(ta[0]@7)"], True)]
    assert calls(c, "unassign") == [()]
    for name in ("assign", "commit", "unassign"):
        assert calls(world.on("A"), name) == []


def test_incremental_calls_inside_a_callback_concern_its_cluster(world, consumer):
    def on_assign(who, parts):
        who.incremental_assign([TopicPartition("ta", p.partition, 3) for p in parts])

    def on_revoke(who, parts):
        who.incremental_unassign([TopicPartition("ta", p.partition) for p in parts])

    consumer.subscribe([A, C], on_assign=on_assign, on_revoke=on_revoke)
    c = world.on("C")
    c.assign_callback("ta")
    c.revoke("ta")
    consumer.consume(10, 0.1)
    assert calls(c, "incremental_assign") == [(["TopicPartition(ta[0]@3)"],)]
    assert calls(c, "incremental_unassign") == [(["TopicPartition(ta[0]@-1001)"],)]
    assert calls(world.on("A"), "incremental_assign") == []


def test_assigning_another_clusters_channel_inside_a_callback_is_refused(world, consumer):
    def on_assign(who, parts):
        who.assign([TopicPartition(A, 0)])

    consumer.subscribe([A, B], on_assign=on_assign)
    world.on("B").assign_callback("tb")
    with pytest.raises(KafkaException, match="another cluster"):
        consumer.consume(10, 0.2)


def test_a_callback_that_raises_reaches_the_caller_and_loses_no_message(world, consumer):
    def on_revoke(who, parts):
        raise RuntimeError("from the application")

    consumer.subscribe([A, B], on_revoke=on_revoke)
    a, b = world.on("A"), world.on("B")
    for number in range(10):
        a.put("ta", b"a%d" % number)
    b.revoke("tb")
    b.put("tb", b"b")
    found, raised = [], 0
    for _ in range(20):
        try:
            found += consumer.consume(4, 0.05)
        except RuntimeError:
            raised += 1
    assert raised == 1
    assert sorted(m.value() for m in found) == sorted([b"a%d" % n for n in range(10)] + [b"b"])


def test_messages_kept_back_are_dropped_when_sought_elsewhere(world, consumer):
    consumer.subscribe([A, B], on_revoke=lambda who, parts: 1 / 0)
    a, b = world.on("A"), world.on("B")
    a.put("ta", b"old", offset=3)
    b.revoke("tb")
    for _ in range(5):
        try:
            consumer.consume(10, 0.05)
        except ZeroDivisionError:
            break
    assert [m.value() for m in a.ahead] == [b"old"]
    consumer.seek(TopicPartition(A, 0, 0))
    assert consumer.poll(0.05) is None
