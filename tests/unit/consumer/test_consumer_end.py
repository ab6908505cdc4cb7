"""The Consumer over fake native consumers: its end, its threads, forks."""

import gc
import os
import statistics
import threading
import time
import weakref

import pytest

from kafkaroute import (
    ClosedError,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from . import consumer_world
from .consumer_world import A2, A, B

world = consumer_world.world
consumer = consumer_world.consumer


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
        thread.join(40)
    assert len(ended) == 3
    assert max(ended) - began < 15
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
            time.sleep(0.02)  # the other thread polls again
            began = time.monotonic()
            consumer.assignment()
            waits.append(time.monotonic() - began)
    finally:
        stop.set()
        thread.join(10)
    assert statistics.median(waits) < 0.5, waits
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
