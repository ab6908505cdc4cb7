"""The Consumer over fake native consumers: commits and partitions reach their cluster."""

import pytest

from kafkaroute import (
    KafkaError,
    KafkaException,
    TopicPartition,
)

from . import consumer_world
from .consumer_world import A, B, C, calls, code_of

world = consumer_world.world
consumer = consumer_world.consumer


def test_commit_of_a_message_reaches_its_cluster_though_topics_are_named_alike(world, consumer):
    consumer.subscribe([A, C])
    world.on("C").put("ta", offset=900)
    message = consumer.poll(1)
    consumer.commit(message=message, asynchronous=False)
    consumer.commit(message)
    assert calls(world.on("C"), "commit") == [
        (["TopicPartition(ta[0]@901)"], False),
        (["TopicPartition(ta[0]@901)"], True),
    ]
    assert calls(world.on("A"), "commit") == []


def test_a_message_of_a_cluster_left_behind_is_committed_nowhere(world, consumer):
    """Its topic's name exists on the cluster that is read now: that must not be skipped."""
    consumer.subscribe([A])
    world.on("A").put("ta", offset=900)
    message = consumer.poll(1)
    consumer.subscribe([C])
    assert code_of(consumer.commit, message=message) == KafkaError._STATE
    assert code_of(consumer.store_offsets, message=message) == KafkaError._STATE
    assert calls(world.on("C"), "commit") == []
    assert calls(world.on("C"), "store_offsets") == []


def test_commit_of_offsets_by_channel_and_topic(world, consumer):
    consumer.subscribe([A, B, C])
    done = consumer.commit(
        offsets=[TopicPartition(A, 0, 5), TopicPartition("tb", 1, 6), TopicPartition(C, 2, 7)],
        asynchronous=False,
    )
    assert sorted((p.channel, p.partition, p.offset) for p in done) == [
        (A, 0, 5),
        (B, 1, 6),
        (C, 2, 7),
    ]
    assert calls(world.on("A"), "commit") == [(["TopicPartition(ta[0]@5)"], False)]


def test_a_bare_topic_that_could_mean_two_clusters(world, consumer):
    consumer.subscribe([A, C])
    bare = TopicPartition("ta", 0, 901)
    for call in (
        lambda: consumer.commit(offsets=[bare]),
        lambda: consumer.store_offsets(offsets=[bare]),
        lambda: consumer.committed([bare]),
        lambda: consumer.position([bare]),
        lambda: consumer.seek(bare),
        lambda: consumer.pause([bare]),
        lambda: consumer.resume([bare]),
        lambda: consumer.get_watermark_offsets(bare),
        lambda: consumer.offsets_for_times([bare]),
        lambda: consumer.assign([bare]),
        lambda: consumer.incremental_assign([bare]),
        lambda: consumer.incremental_unassign([bare]),
    ):
        with pytest.raises(KafkaException, match="could mean") as caught:
            call()
        assert caught.value.args[0].code() == KafkaError._INVALID_ARG
    touched = {"commit", "store_offsets", "seek", "pause", "resume", "assign"}
    for client in (world.on("A"), world.on("C")):
        assert not [call for call in client.calls if call[0] in touched]


def test_commit_of_what_is_stored(world, consumer):
    consumer.subscribe([A, B])
    assert code_of(consumer.commit, asynchronous=False) == KafkaError._NO_OFFSET
    world.on("B").stored = True
    [done] = consumer.commit(asynchronous=False)
    assert (done.channel, done.offset) == (B, 1)
    assert consumer.commit() is None


def test_commit_takes_one_of_both(world, consumer):
    consumer.subscribe([A])
    world.on("A").put("ta")
    message = consumer.poll(1)
    tp = TopicPartition(A, 0, 1)
    assert code_of(consumer.commit, message=message, offsets=[tp]) == KafkaError._INVALID_ARG
    assert code_of(consumer.store_offsets, message, [tp]) == KafkaError._INVALID_ARG
    assert code_of(consumer.store_offsets) == KafkaError._INVALID_ARG


def test_store_offsets(world, consumer):
    consumer.subscribe([A, B])
    world.on("B").put("tb", offset=4)
    consumer.store_offsets(consumer.poll(1))
    consumer.store_offsets(offsets=[TopicPartition(A, 1, 9)])
    assert calls(world.on("B"), "store_offsets") == [(["TopicPartition(tb[0]@5)"],)]
    assert calls(world.on("A"), "store_offsets") == [(["TopicPartition(ta[1]@9)"],)]


def test_questions_go_to_the_right_cluster(world, consumer):
    consumer.subscribe([A, B])
    parts = [TopicPartition(B, 1), TopicPartition(A, 0)]
    assert [p.offset for p in consumer.committed(parts, timeout=3)] == [11, 10]
    assert [p.offset for p in consumer.position(parts)] == [21, 20]
    assert [p.channel for p in consumer.offsets_for_times(parts, timeout=3)] == [B, A]
    assert consumer.get_watermark_offsets(TopicPartition(B, 0), timeout=2, cached=True) == (0, 7)
    assert calls(world.on("B"), "watermarks") == [("TopicPartition(tb[0]@-1001)", 2, True)]
    consumer.seek(TopicPartition(B, 0, 5))
    consumer.pause([TopicPartition(A, 0)])
    consumer.resume([TopicPartition(A, 0)])
    assert calls(world.on("B"), "seek") == [("TopicPartition(tb[0]@5)",)]
    assert calls(world.on("A"), "pause") == calls(world.on("A"), "resume")
    assert {p.channel for p in consumer.assignment()} == {A, B}


def test_questions_about_a_cluster_need_a_channel_when_there_are_two(world, consumer):
    consumer.subscribe([A])
    assert consumer.list_topics(timeout=2).cluster_id == "A:1"
    assert consumer.memberid() == "member-A:1"
    assert consumer.consumer_group_metadata().native == ("group of", "A:1")
    consumer.subscribe([A, B])
    for call in (consumer.list_topics, consumer.memberid, consumer.consumer_group_metadata):
        with pytest.raises(KafkaException, match="needs a channel"):
            call()
    assert consumer.list_topics(B, timeout=2).cluster_id == "B:1"
    assert calls(world.on("B"), "list_topics")[-1] == ("tb", 2)
    assert consumer.memberid(B) == "member-B:1"
    assert consumer.consumer_group_metadata(B).cluster_id() == "B:1"


def test_manual_assignment_opens_what_it_needs(world, consumer):
    consumer.assign([TopicPartition(A, 0, 5), TopicPartition(B, 1, 6)])
    assert calls(world.on("A"), "assign") == [(["TopicPartition(ta[0]@5)"],)]
    assert calls(world.on("B"), "assign") == [(["TopicPartition(tb[1]@6)"],)]
    consumer.incremental_assign([TopicPartition(C, 0)])
    consumer.incremental_unassign([TopicPartition(C, 0)])
    assert calls(world.on("C"), "incremental_unassign")
    consumer.assign([TopicPartition(A, 1)])
    assert calls(world.on("B"), "assign")[-1] == ([],)
    consumer.unassign()
    assert [len(calls(world.on(c), "unassign")) for c in "ABC"] == [1, 1, 1]
