"""The Producer over fake native producers: what is asked of whom, and what is refused."""

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
    Producer,
)

from . import producer_world
from .producer_world import A2, A, B

world, producer = producer_world.world, producer_world.plain_producer


def test_arguments_reach_the_client(world, producer):
    producer.produce(A, b"v", b"k", 3, None, None, 77, [("h", b"1")])
    producer.produce(channel=A, value="v", key="k", partition=1, timestamp=5, headers={"h": "2"})
    producer.produce(A)
    assert world.on("A").sent == [
        ("ta", b"v", b"k", 3, 77, [("h", b"1")]),
        ("ta", "v", "k", 1, 5, [("h", b"2")]),
        ("ta", None, None, -1, 0, None),
    ]


@pytest.mark.parametrize("name", ["callback", "on_delivery"])
def test_both_names_of_the_callback(producer, name):
    seen = []
    producer.produce(A, b"v", **{name: lambda error, message: seen.append((error, message))})
    assert seen == []
    assert producer.poll(0) == 1
    [(error, message)] = seen
    assert error is None
    assert (message.topic(), message.value()) == ("ta", b"v")


def test_both_names_at_once_call_once(producer):
    seen = []
    producer.produce(A, b"v", callback=None, on_delivery=lambda *_: seen.append("on_delivery"))
    producer.produce(A, b"v", callback=lambda *_: seen.append("callback"), on_delivery=None)
    producer.flush(1)
    assert seen == ["on_delivery", "callback"]


def test_clients_are_shared_by_place(world, producer):
    for channel in (A, A2, B, A):
        producer.produce(channel, b"v")
    assert len(world.backend.producers) == 2
    assert [sent[0] for sent in world.on("A").sent] == ["ta", "ta2", "ta"]


def test_clients_are_not_shared_between_producers(world, producer):
    with Producer(world.settings()) as other:
        producer.produce(A, b"v")
        other.produce(A, b"v")
        assert len(world.backend.producers) == 2


def test_another_profile_is_another_client(world, producer):
    world.put("kafka://x/durable", "ta", "A", configuration={"acks": "all"})
    producer.produce(A, b"v")
    producer.produce("kafka://x/durable", b"v")
    assert len(world.backend.producers) == 2


@pytest.mark.parametrize("bad", ["orders", "", None, 7, b"kafka://x/a"])
def test_no_channel(producer, bad):
    with pytest.raises(ChannelInvalid):
        producer.produce(bad, b"v")


def test_unknown_channel(producer):
    with pytest.raises(ChannelNotFound, match="kafka://x/unknown"):
        producer.produce("kafka://x/unknown", b"v")
    producer.produce(A, b"v")


def test_handle(world, producer):
    handle = producer.channel(A)
    assert A in repr(handle)
    handle.produce(b"v", b"k")
    producer.produce(A, b"w")
    assert [sent[1] for sent in world.on("A").sent] == [b"v", b"w"]
    with pytest.raises(ChannelInvalid):
        producer.channel("orders")


def test_a_handle_takes_both_names_of_the_callback(world, producer):
    seen = []
    handle = producer.channel(A)
    handle.produce(b"v", callback=lambda *_: seen.append(1))
    handle.produce(b"v", on_delivery=lambda *_: seen.append(2))
    producer.flush(1)
    assert seen == [1, 2]


def test_preload_asks_before_the_first_message(world, producer):
    producer.preload([A, A2, B])
    asked = len(world.stub.requests)
    assert asked == 3
    for channel in (A, A2, B):
        producer.produce(channel, b"v")
    assert len(world.stub.requests) == asked
    with pytest.raises(ChannelNotFound):
        producer.preload([A, "kafka://x/unknown"])


def test_a_full_queue_is_a_buffer_error(world, producer):
    producer.produce(A, b"v")
    world.on("A").full = True
    with pytest.raises(BufferError):
        producer.produce(A, b"v")


def test_len_and_truth(world, producer):
    assert len(producer) == 0
    assert producer
    producer.produce(A, b"v")
    producer.produce(B, b"v")
    assert len(producer) == 2
    assert producer.flush(1) == 0
    assert len(producer) == 0


def test_poll_waits_as_told_and_no_longer(world, producer):
    for _ in range(2):
        took = []
        for _ in range(3):
            began = time.monotonic()
            assert producer.poll(0.2) == 0
            took.append(time.monotonic() - began)
        assert 0.15 < min(took) < 0.35, "not so long for each client"
        producer.preload([A, B])


def test_poll_without_end_comes_back_for_an_event(world, producer):
    producer.preload([A, B])
    threading.Timer(0.2, lambda: producer.produce(B, b"v")).start()
    assert producer.poll() == 1


def test_flush_counts_what_remains(world, producer):
    producer.produce(A, b"v")
    producer.produce(B, b"v")
    world.on("A").stuck = True
    began = time.monotonic()
    assert producer.flush(0.3) == 1
    assert time.monotonic() - began < 5
    assert producer.flush(0) == 1
    world.on("A").stuck = False
    assert producer.flush() == 0


def test_a_stuck_cluster_does_not_hold_up_the_others_reports(world, producer):
    producer.produce(A, b"v")
    a = world.on("A")
    a.stuck = True
    producer.produce(B, b"v", on_delivery=lambda *_: setattr(a, "stuck", False))
    began = time.monotonic()
    assert producer.flush(20) == 0
    assert time.monotonic() - began < 15


def test_purge(world, producer):
    producer.produce(A, b"v")
    producer.produce(B, b"v")
    producer.purge(in_queue=True, in_flight=False, blocking=False)
    assert world.on("A").calls == world.on("B").calls == [("purge", True, False, False)]


def test_list_topics(world, producer):
    with pytest.raises(ConfigurationError, match="not 0"):
        producer.list_topics()
    assert producer.list_topics(A, timeout=1).cluster_id == "A:1"
    assert producer.list_topics(timeout=1).cluster_id == "A:1"
    producer.preload([B])
    with pytest.raises(ConfigurationError, match="not 2"):
        producer.list_topics()


# The end.


def test_after_close(world):
    producer = Producer(world.settings())
    handle = producer.channel(A)
    handle.produce(b"v")
    assert producer.close() == 0
    assert producer.close() == 0
    opened = len(world.backend.producers)
    for call in (
        lambda: producer.produce(A, b"v"),
        lambda: producer.produce(B, b"v"),
        lambda: handle.produce(b"v"),
        lambda: producer.preload([A]),
        lambda: producer.list_topics(A),
        lambda: producer.list_topics(),
        lambda: producer.purge(),
        lambda: producer.init_transactions(),
        lambda: producer.begin_transaction(),
    ):
        with pytest.raises(ClosedError):
            call()
    assert producer.poll(0) == 0
    assert producer.flush(0) == 0
    assert len(producer) == 0
    assert len(world.backend.producers) == opened
    assert [client.closed for client in world.backend.producers] == [1]


def test_close_counts_what_it_failed(world):
    producer = Producer(world.settings())
    producer.produce(A, b"v")
    producer.produce(B, b"v")
    world.on("A").stuck = True
    assert producer.close(0.1) == 1
    assert [client.closed for client in world.backend.producers] == [1, 1]


def test_one_client_that_fails_to_close_does_not_keep_the_others_open(world):
    producer = Producer(world.settings())
    producer.preload([A, B])
    a, b = world.on("A"), world.on("B")

    def fail(timeout):
        a.closed += 1
        raise RuntimeError("cannot")

    a.close = fail
    with pytest.raises(RuntimeError, match="cannot"):
        producer.close()
    assert (a.closed, b.closed) == (1, 1)


def test_the_context_manager_delivers(world):
    seen = []
    with Producer(world.settings()) as producer:
        producer.produce(A, b"v", on_delivery=lambda *_: seen.append(1))
    assert seen == [1]


def test_a_callback_may_produce(world, producer):
    producer.produce(A, b"1", on_delivery=lambda *_: producer.produce(B, b"2"))
    assert producer.flush(2) == 0
    assert world.on("B").sent[0][1] == b"2"


def test_a_callback_that_raises_reaches_the_caller(world, producer):
    producer.produce(A, b"1", on_delivery=lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        producer.flush(2)


# Threads and forks.


def test_first_messages_of_many_threads_open_one_client(world, producer):
    go = threading.Barrier(8)

    def work():
        go.wait(5)
        for _ in range(100):
            producer.produce(A, b"v")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(world.backend.producers) == 1
    assert len(world.on("A").sent) == 800
    assert len(world.stub.requests) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_child_of_a_fork_opens_its_own(world, producer):
    handle = producer.channel(A)
    handle.produce(b"the parent's")
    parents = world.on("A")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            handle.produce(b"the child's")
            mine = world.backend.producers[-1]
            assert mine is not parents
            assert [sent[1] for sent in mine.sent] == [b"the child's"]
            assert len(producer) == 1
            assert producer.flush(1) == 0
            producer.close()
            assert (mine.closed, parents.closed) == (1, 0)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [sent[1] for sent in parents.sent] == [b"the parent's"]
    assert producer.flush(1) == 0


def test_a_forgotten_producer_is_not_kept_alive(world):
    producer = Producer(world.settings())
    producer.produce(A, b"v")
    gone = weakref.ref(producer)
    del producer
    gc.collect()
    assert gone() is None
