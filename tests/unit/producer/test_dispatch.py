"""The Producer over fake native producers: transactions, and routes that change or age."""

import time

import pytest

from kafkaroute import (
    CatalogError,
    ConfigurationError,
    KafkaError,
    KafkaException,
    Producer,
)
from kafkaroute.testing.catalog_stub import Fault

from . import producer_world
from .producer_world import A2, A, B, wait_for

world, producer = producer_world.world, producer_world.plain_producer


# Transactions.


def state(call, *args):
    with pytest.raises(KafkaException) as caught:
        call(*args)
    assert caught.value.args[0].code() == KafkaError._STATE
    return str(caught.value)


def test_a_transaction_stays_on_one_cluster(world, producer):
    producer.init_transactions(1, channels=[A])
    state(producer.produce, A, b"outside")
    producer.begin_transaction()
    producer.produce(A, b"1")
    assert B in state(producer.produce, B, b"2")
    producer.produce(A2, b"3")
    producer.commit_transaction(1)
    state(producer.produce, A, b"outside")
    producer.begin_transaction()
    producer.produce(B, b"4")
    producer.abort_transaction(1)
    assert world.on("A").calls == ["init", "begin", "commit"]
    assert world.on("B").calls == ["init", "begin", ("abort", 1)]
    assert [sent[1] for sent in world.on("A").sent] == [b"1", b"3"]


def test_misuse(producer):
    state(producer.begin_transaction)
    state(producer.commit_transaction)
    producer.init_transactions(1, channels=[A])
    state(producer.abort_transaction)


def test_a_message_before_init_transactions_does_not_slip_through(world, producer):
    producer.produce(A, b"0")
    producer.init_transactions(1, channels=[A])
    state(producer.produce, A, b"outside")


def test_close_aborts_an_open_transaction(world):
    producer = Producer(world.settings())
    producer.init_transactions(1, channels=[A])
    producer.begin_transaction()
    producer.produce(A, b"1")
    a = world.on("A")
    producer.close(0.5)
    assert a.calls == ["init", "begin", ("abort", 0.5)]
    assert a.closed == 1


# Following.


def test_a_moved_topic_is_followed(world):
    with Producer(world.settings(ttl=1)) as producer:
        handle = producer.channel(A)
        handle.produce(b"1")
        world.put(A, "elsewhere", "B")
        wait_for(lambda: len(world.backend.producers) == 2)
        wait_for(lambda: (producer.produce(A, b"2"), world.on("B").sent)[1])
        handle.produce(b"3")
        assert world.on("B").sent[-1][:2] == ("elsewhere", b"3")
        assert producer.flush(5) == 0


def test_a_move_that_the_backend_refuses_leaves_the_old_place(world, caplog):
    with Producer(world.settings(ttl=1)) as producer:
        producer.produce(A, b"1")
        world.backend.refuse["B:1"] = ConfigurationError("setting x is refused")
        world.put(A, "elsewhere", "B")
        caplog.set_level("INFO", "kafkaroute.moves")
        wait_for(lambda: "setting x is refused" in caplog.text)
        producer.produce(A, b"2")
        assert [sent[1] for sent in world.on("A").sent] == [b"1", b"2"]
        assert world.on("A").closed == 0


@pytest.mark.parametrize(
    "fault", [Fault.DOWN, Fault.HANG, Fault.UNAUTHORIZED], ids=lambda f: f.name
)
def test_a_route_too_old_is_an_error_at_once_and_comes_back(world, fault):
    with Producer(world.settings(ttl=1, max_stale=1.5, timeout=8)) as producer:
        producer.produce(A, b"1")
        world.stub.fault = fault
        raised = []

        def refused():
            began = time.monotonic()
            try:
                producer.produce(A, b"2")
            except CatalogError as error:
                raised.append(error)
            assert time.monotonic() - began < 4
            return len(raised) > 5

        wait_for(refused, 15)
        world.stub.fault = None

        def accepted():
            try:
                producer.produce(A, b"3")
            except CatalogError:
                return False
            return True

        wait_for(accepted, 30)
        assert world.on("A").sent[-1][1] == b"3"


def test_a_move_does_not_close_the_client_of_a_channel_too_old(world):
    """Its sender may still be in use by another thread."""
    with Producer(world.settings(ttl=1)) as producer:
        producer.preload([A, B])
        a = world.on("A")
        producer._router.cache.invalidate(A)
        world.put(B, "tb2", "C")
        wait_for(
            lambda: any(c.config["bootstrap.servers"] == "C:1" for c in world.backend.producers)
        )
        assert a not in [client.native for client in producer._dispatch.table.retired]


def test_a_channel_moves_between_transactions(world):
    with Producer(world.settings(ttl=1)) as producer:
        producer.init_transactions(channels=[A])
        producer.begin_transaction()
        producer.produce(A, b"1")
        old = world.on("A")
        world.put(A, "ta", "B")
        wait_for(lambda: len(world.backend.producers) == 2)
        wait_for(lambda: producer.counters().get("opened"))
        producer.produce(A, b"2")
        producer.flush(1)
        producer.commit_transaction()
        assert [sent[1] for sent in old.sent] == [b"1", b"2"]
        producer.begin_transaction()
        producer.produce(A, b"3")
        producer.commit_transaction()
        new = world.on("B")
        assert [sent[1] for sent in new.sent] == [b"3"]
        assert new.calls[-3:] == ["init", "begin", "commit"]
        assert old.closed == 1
