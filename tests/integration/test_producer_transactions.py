"""A Producer's transactions, on both backends."""

import contextlib
import time

import pytest

from kafkaroute import (
    KafkaError,
    KafkaException,
    Producer,
    UnsupportedFeature,
)

from .looking import values


def test_a_transaction_on_the_embedded_cluster(world):
    channel = world.channel()
    producer = world.producer({"transactional.id": f"tx-{channel}"})
    producer.init_transactions(20, channels=[channel])
    producer.begin_transaction()
    producer.produce(channel, b"v")
    producer.commit_transaction(20)
    assert values(world.landed(channel)) == [b"v"]


def test_another_cluster_inside_a_transaction(any_world):
    here, there = any_world.channel(0), any_world.channel(1)
    producer = any_world.producer({"transactional.id": f"tx-{here}"})
    producer.init_transactions(30, channels=[here])
    producer.begin_transaction()
    producer.produce(here, b"1")
    with pytest.raises(KafkaException, match="cannot span clusters") as caught:
        producer.produce(there, b"2")
    assert caught.value.args[0].code() == KafkaError._STATE
    assert there in str(caught.value)
    producer.commit_transaction(30)
    producer.begin_transaction()
    producer.produce(there, b"3")
    producer.commit_transaction(30)
    assert values(any_world.landed(here)) == [b"1"]
    assert values(any_world.landed(there)) == [b"3"]


def test_outside_a_transaction(world):
    channel = world.channel()
    producer = world.producer({"transactional.id": f"tx-{channel}"})
    with pytest.raises(KafkaException) as caught:
        producer.begin_transaction()
    assert caught.value.args[0].code() == KafkaError._STATE
    producer.init_transactions(20, channels=[channel])
    with pytest.raises(KafkaException) as caught:
        producer.produce(channel, b"v")
    assert caught.value.args[0].code() == KafkaError._STATE


def test_committed_and_aborted_on_real_kafka(real_world):
    channel = real_world.channel()
    producer = real_world.producer({"transactional.id": f"tx-{channel}"})
    producer.init_transactions(30, channels=[channel])
    for number, end in enumerate(["commit", "abort", "commit"]):
        producer.begin_transaction()
        producer.produce(channel, b"%d" % number)
        if end == "commit":
            producer.commit_transaction(30)
        else:
            producer.flush(30)
            producer.abort_transaction(30)
    assert values(real_world.landed(channel)) == [b"0", b"2"]
    consumer = real_world.consumer([channel])
    assert values(real_world.read(consumer, 2)) == [b"0", b"2"]


def test_close_aborts_an_open_transaction(real_world):
    channel = real_world.channel()
    with Producer(real_world.settings({"transactional.id": f"tx-{channel}"})) as producer:
        producer.init_transactions(30, channels=[channel])
        producer.begin_transaction()
        producer.produce(channel, b"never")
        producer.flush(30)
        began = time.monotonic()
    assert time.monotonic() - began < 20
    assert values(real_world.landed(channel)) == []


def test_consume_transform_produce(real_world):
    source, target = real_world.channel(0), real_world.channel(0)
    real_world.write(source, [b"%d" % n for n in range(10)])
    group = f"g-{source[-12:]}"
    consumer = real_world.consumer([source], {"enable.auto.commit": False}, group=group)
    producer = real_world.producer({"transactional.id": f"tx-{source}"})
    producer.init_transactions(30, channels=[target])
    for start in (0, 5):
        messages = real_world.read(consumer, 5)
        producer.begin_transaction()
        for message in messages:
            producer.produce(target, b"=" + message.value())
        positions = consumer.position(consumer.assignment())
        producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), 30)
        if start == 0:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
    assert values(real_world.landed(target)) == [b"=%d" % n for n in range(5)]
    consumer.close()
    again = real_world.consumer([source], group=group)
    assert values(real_world.read(again, 5)) == [b"%d" % n for n in range(5, 10)]


def test_offsets_of_another_clusters_group(real_world):
    source, target = real_world.channel(0), real_world.channel(1)
    real_world.write(source, [b"v"])
    consumer = real_world.consumer([source])
    real_world.read(consumer, 1)
    producer = real_world.producer({"transactional.id": f"tx-{source}"})
    producer.init_transactions(30, channels=[target])
    producer.begin_transaction()
    producer.produce(target, b"v")
    with pytest.raises(UnsupportedFeature, match="another cluster"):
        producer.send_offsets_to_transaction(
            consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 20
        )
    producer.abort_transaction(30)


def test_initialising_asks_for_a_cluster_by_name(world):
    producer = world.producer({"transactional.id": f"tx-{world.backend}"})
    with pytest.raises(KafkaException, match=r"init_transactions\(channels=") as caught:
        producer.init_transactions(20)
    assert caught.value.args[0].code() == KafkaError._STATE


def waits_of_a_reader(world, channel, timeout=30):
    """Seconds until a message after the open transaction is read."""
    began = time.monotonic()
    reader = world.consumer([channel], {"isolation.level": "read_committed"})
    assert values(world.read(reader, 1, timeout)) == [b"new"]
    return time.monotonic() - began


@pytest.mark.parametrize("named", ["call", "setting", "group"])
def test_a_successor_ends_its_predecessors_transaction_at_once(real_world, named):
    """What a killed process has left open would keep readers waiting for `transaction.timeout.ms`."""
    channel = real_world.channel()
    config = {"transactional.id": f"tx-{channel}"}
    killed = real_world.producer(config)
    killed.init_transactions(30, channels=[channel])
    killed.begin_transaction()
    killed.produce(channel, b"never")
    killed.flush(10)
    more, arguments = {}, {}
    if named == "call":
        arguments = {"channels": [channel]}
    elif named == "setting":
        more = {"channels": [channel]}
    else:
        consumer = real_world.consumer([channel])
        real_world.join(consumer, [channel])
        arguments = {"group_metadata": consumer.consumer_group_metadata()}
    successor = real_world.producer(config, **more)
    successor.init_transactions(30, **arguments)
    real_world.write(channel, [b"new"])
    assert waits_of_a_reader(real_world, channel) < 10
    with pytest.raises(KafkaException) as caught:
        killed.commit_transaction(10)
    assert caught.value.args[0].code() in {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
    with contextlib.suppress(KafkaException):  # it cannot end its transaction
        killed.close(2)


@pytest.mark.parametrize("known", ["both", "another", "the same"])
def test_offsets_without_output_go_to_the_groups_cluster(real_world, known):
    source, elsewhere = real_world.channel(0), real_world.channel(1)
    named = {"both": [elsewhere, source], "another": [elsewhere], "the same": [source]}[known]
    real_world.write(source, [b"1", b"2"])
    consumer = real_world.consumer([source], {"enable.auto.commit": False})
    real_world.read(consumer, 2)
    producer = real_world.producer({"transactional.id": f"tx-{source}"})
    producer.init_transactions(30, channels=named)
    producer.begin_transaction()
    positions = consumer.position(consumer.assignment())
    producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), 30)
    producer.commit_transaction(30)
    assert [one.offset for one in consumer.committed(positions, timeout=10)] == [2]
