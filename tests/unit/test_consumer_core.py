"""The Consumer over fake native consumers: what is asked of whom, in which order, on which thread."""

import gc
import os
import threading
import time
import weakref

import pytest

from kafkaroute import (
    ChannelInvalid,
    ChannelNotFound,
    ClosedError,
    ConfigurationError,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

A, A2, B, C = "kafka://x/a", "kafka://x/a/two", "kafka://x/b", "kafka://x/c"


@pytest.fixture
def world(fake):
    fake.put(A, "ta", "A")
    fake.put(A2, "ta2", "A")
    fake.put(B, "tb", "B")
    fake.put(C, "ta", "C")  # the same topic name as on A
    return fake


@pytest.fixture
def consumer(world):
    with Consumer(world.settings()) as consumer:
        yield consumer


def code_of(call, *args, **kwargs):
    with pytest.raises(KafkaException) as caught:
        call(*args, **kwargs)
    return caught.value.args[0].code()


def calls(client, name):
    return [call[1:] for call in client.calls if call[0] == name]


# Subscribing.


def test_one_member_for_each_place(world, consumer):
    consumer.subscribe([A, A2, B])
    assert len(world.backend.consumers) == 2
    assert calls(world.on("A"), "subscribe") == [(["ta", "ta2"],)]
    assert calls(world.on("B"), "subscribe") == [(["tb"],)]


def test_subscribing_again_keeps_what_stays_and_closes_what_goes(world, consumer):
    consumer.subscribe([A, B])
    a, b = world.on("A"), world.on("B")
    consumer.subscribe([A2])
    assert (a.closed, b.closed) == (0, 1)
    assert calls(a, "subscribe")[-1] == (["ta2"],)
    consumer.subscribe([B])
    assert a.closed == 1
    assert world.on("B") is not b


@pytest.mark.parametrize("bad", [["no-channel"], [None], [A, "kafka://x"]])
def test_bad_channels_change_nothing(world, consumer, bad):
    consumer.subscribe([A])
    with pytest.raises(ChannelInvalid):
        consumer.subscribe(bad)
    world.on("A").put("ta")
    assert consumer.poll(1).channel() == A


def test_one_string_is_no_list(consumer):
    with pytest.raises(ConfigurationError, match="not one string"):
        consumer.subscribe(A)


def test_an_unknown_channel_changes_nothing(world, consumer):
    consumer.subscribe([A])
    with pytest.raises(ChannelNotFound, match="kafka://x/unknown"):
        consumer.subscribe([B, "kafka://x/unknown"])
    world.on("A").put("ta")
    assert consumer.poll(1).channel() == A


def test_a_refused_second_cluster_leaks_no_client(world):
    world.backend.refuse["B:1"] = ConfigurationError("refused")
    consumer = Consumer(world.settings())
    with pytest.raises(ConfigurationError, match="refused"):
        consumer.subscribe([A, B])
    consumer.close()
    assert [client.closed for client in world.backend.consumers] == [1]


def test_an_empty_subscription_reads_nothing(world, consumer):
    consumer.subscribe([A])
    a = world.on("A")
    consumer.subscribe([])
    assert a.closed == 1
    assert consumer.poll(0.05) is None


def test_polling_without_a_subscription_waits_no_longer_than_told(consumer):
    began = time.monotonic()
    assert consumer.poll(0.2) is None
    assert consumer.consume(5, 0.2) == []
    assert 0.35 < time.monotonic() - began < 1.5


# Messages.


def test_each_message_says_its_channel(world, consumer):
    consumer.subscribe([A, B, C])
    world.on("A").put("ta", b"1")
    world.on("B").put("tb", b"2")
    world.on("C").put("ta", b"3")
    found = {m.value(): (m.channel(), m.topic()) for m in (consumer.poll(1) for _ in range(3))}
    assert found == {b"1": (A, "ta"), b"2": (B, "tb"), b"3": (C, "ta")}


def test_consume_collects_from_all(world, consumer):
    consumer.subscribe([A, B])
    for _ in range(30):
        world.on("A").put("ta")
        world.on("B").put("tb")
    assert len(consumer.consume(50, 5)) == 50
    assert len(consumer.consume(50, 0.1)) == 10
    assert consumer.consume(0, 1) == []


@pytest.mark.parametrize("number", [-1, 1_000_001])
def test_consume_takes_a_sane_number(consumer, number):
    with pytest.raises(ValueError, match="num_messages"):
        consumer.consume(number, 0)


def test_poll_takes_confluents_timeouts(world, consumer):
    consumer.subscribe([A])
    assert consumer.poll(timeout=0) is None
    threading.Timer(0.15, lambda: world.on("A").put("ta")).start()
    assert consumer.poll().value() == b"v"
    threading.Timer(0.15, lambda: world.on("A").put("ta")).start()
    assert consumer.poll(None).value() == b"v"


def test_iteration_ends_when_closed(world):
    consumer = Consumer(world.settings())
    consumer.subscribe([A])
    for number in range(3):
        world.on("A").put("ta", str(number).encode())
    found = []
    for message in consumer:
        found.append(message.value())
        if len(found) == 3:
            consumer.close()
    assert found == [b"0", b"1", b"2"]


# Commits.


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


# Partitions.


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


# Rebalance callbacks.


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
    assert [m.value() for m in consumer._stash] == [b"old"]
    consumer.seek(TopicPartition(A, 0, 0))
    assert consumer.poll(0.05) is None


# The end.


def test_after_close_every_call_says_so(world):
    consumer = Consumer(world.settings())
    consumer.subscribe([A])
    consumer.close()
    consumer.close()
    tp = TopicPartition(A, 0, 0)
    for call in (
        lambda: consumer.poll(0),
        lambda: consumer.consume(1, 0),
        lambda: consumer.subscribe([A]),
        lambda: consumer.unsubscribe(),
        lambda: consumer.commit(),
        lambda: consumer.store_offsets(offsets=[tp]),
        lambda: consumer.committed([tp]),
        lambda: consumer.position([tp]),
        lambda: consumer.seek(tp),
        lambda: consumer.assign([tp]),
        lambda: consumer.incremental_assign([tp]),
        lambda: consumer.incremental_unassign([tp]),
        lambda: consumer.unassign(),
        lambda: consumer.assignment(),
        lambda: consumer.pause([tp]),
        lambda: consumer.resume([tp]),
        lambda: consumer.list_topics(),
        lambda: consumer.get_watermark_offsets(tp),
        lambda: consumer.offsets_for_times([tp]),
        lambda: consumer.memberid(),
        lambda: consumer.consumer_group_metadata(),
    ):
        with pytest.raises(ClosedError):
            call()
    assert list(consumer) == []
    assert [client.closed for client in world.backend.consumers] == [1]


def test_one_cluster_that_fails_to_close_does_not_keep_the_others_open(world):
    consumer = Consumer(world.settings())
    consumer.subscribe([A, B])
    a, b = world.on("A"), world.on("B")

    def fail():
        a.closed += 1
        raise RuntimeError("from a callback")

    a.close = fail
    with pytest.raises(RuntimeError, match="from a callback"):
        consumer.close()
    assert (a.closed, b.closed) == (1, 1)
    consumer.close()


def test_a_fresh_consumer_closes(world):
    Consumer(world.settings()).close()


def test_close_while_another_thread_polls(world):
    consumer = Consumer(world.settings())
    consumer.subscribe([A, B])
    ended = []

    def poll():
        try:
            while True:
                consumer.poll(30)
        except ClosedError:
            ended.append(time.monotonic())

    threads = [threading.Thread(target=poll) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    began = time.monotonic()
    consumer.close()
    for thread in threads:
        thread.join(5)
    assert len(ended) == 3
    assert max(ended) - began < 2
    assert sum(client.overlaps for client in world.backend.consumers) == 0


def test_close_inside_a_rebalance_callback_is_refused_or_done(world):
    """Closing the native consumer below its own callback would free what is in use."""
    consumer = Consumer(world.settings())
    consumer.subscribe([A], on_assign=lambda who, parts: who.close())
    a = world.on("A")
    a.assign_callback("ta")
    with pytest.raises(KafkaException) as caught:
        consumer.poll(1)
    assert caught.value.args[0].code() == KafkaError._STATE
    assert a.closed == 0
    consumer.close()
    assert a.closed == 1


# Threads.


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize("channels", [[A], [A, B]], ids=["one", "two"])
def test_other_threads_calls_are_not_starved(world, consumer, busy, channels):
    consumer.subscribe(channels)
    stop = threading.Event()

    def poll():
        a = world.on("A")
        while not stop.is_set():
            if busy and len(a.inbox) < 100:
                for _ in range(1000):
                    a.put("ta")
            consumer.poll(1)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        waits = []
        for _ in range(20):
            began = time.monotonic()
            consumer.assignment()
            waits.append(time.monotonic() - began)
    finally:
        stop.set()
        thread.join(10)
    assert max(waits) < 0.5
    assert sum(client.overlaps for client in world.backend.consumers) == 0


def test_many_threads_share_one_consumer(world, consumer):
    consumer.subscribe([A, B])
    for number in range(2000):
        world.on("A").put("ta", b"a%d" % number)
        world.on("B").put("tb", b"b%d" % number)
    found = []

    def poll():
        while (message := consumer.poll(0.3)) is not None:
            found.append(message.value())

    threads = [threading.Thread(target=poll) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == len(set(found)) == 4000
    assert sum(client.overlaps for client in world.backend.consumers) == 0


# Forks and forgotten consumers.


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_child_of_a_fork_opens_its_own(world, consumer):
    consumer.subscribe([A])
    parents = world.on("A")
    parents.put("ta", b"the parent's")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert consumer.poll(0) is None
            assert parents.closed == 0
            mine = world.backend.consumers[-1]
            assert mine is not parents
            mine.put("ta", b"the child's")
            assert consumer.poll(1).value() == b"the child's"
            consumer.close()
            assert (mine.closed, parents.closed) == (1, 0)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert consumer.poll(1).value() == b"the parent's"


def test_a_forgotten_consumer_is_not_kept_alive(world):
    consumer = Consumer(world.settings())
    consumer.subscribe([A])
    gone = weakref.ref(consumer)
    del consumer
    gc.collect()
    assert gone() is None


def test_a_question_about_another_channel_of_a_cluster_adds_no_member(world, consumer):
    consumer.subscribe([A])
    consumer.list_topics(A2)  # lives on the same cluster as A
    assert len(world.backend.consumers) == 1
    consumer.memberid()  # without a channel: needs exactly one member
    assert len(consumer._members.all) == 1
