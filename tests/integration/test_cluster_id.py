"""`cluster_id` of an answer on real clusters: checked before the first message is written."""

import time

import confluent_kafka.admin
import pytest

from kafkaroute import KafkaError, KafkaException


def told(world, number):
    """The cluster's id, by the bare client."""
    config = world.clusters[number].client_config() | {"log_level": 0}
    admin = confluent_kafka.admin.AdminClient(config)
    return admin.list_topics(timeout=20).cluster_id


def put(world, channel, cluster_id, number=0, **more):
    _, topic = world.where[channel]
    connection = world.connection(number) | more
    world.stub.put(channel, topic=topic, connection=connection, cluster_id=cluster_id)


def test_the_right_cluster_is_written_in_order(real_world):
    channel = real_world.channel()
    put(real_world, channel, told(real_world, 0))
    producer, reports = real_world.producer(), []
    wanted = [str(number).encode() for number in range(500)]
    for value in wanted:
        producer.produce(channel, value, on_delivery=lambda e, m: reports.append((e, m.value())))
    assert producer.flush(30) == 0
    assert [m.value() for m in real_world.landed(channel)] == wanted
    assert reports == [(None, value) for value in wanted]


def test_another_cluster_is_not_written(real_world):
    channel = real_world.channel()
    here, there = told(real_world, 0), told(real_world, 1)
    assert here != there
    put(real_world, channel, there)
    producer, codes = real_world.producer(), []
    refused = None
    until = time.monotonic() + 20
    while refused is None and time.monotonic() < until:
        try:
            producer.produce(channel, b"v", on_delivery=lambda e, _: codes.append(e.code()))
        except KafkaException as error:
            refused = error
        time.sleep(0.01)
    assert refused.args[0].code() == KafkaError._CONFLICT
    assert here in str(refused)
    assert there in str(refused)
    assert producer.flush(10) == 0
    assert set(codes) == {KafkaError._CONFLICT}
    assert real_world.landed(channel) == []
    # The platform team corrects it.
    put(real_world, channel, here)
    producer._router.cache.refresh(channel)

    def written():
        try:
            producer.produce(channel, b"right")
        except KafkaException:
            return False
        return True

    real_world.wait(written)
    assert producer.flush(20) == 0
    assert [m.value() for m in real_world.landed(channel)] == [b"right"]


@pytest.mark.parametrize("known", [False, True])
def test_the_first_produce_does_not_wait_for_a_dead_cluster(real_world, known):
    channel = real_world.dead_channel()
    if known:
        place = real_world.connection(0) | {"bootstrap.servers": "127.0.0.1:1"}
        real_world.stub.put(channel, topic="dead", connection=place, cluster_id="some")
    producer = real_world.producer()
    began = time.monotonic()
    producer.produce(channel, b"v")
    assert time.monotonic() - began < 4
    assert len(producer) >= 1  # events of the client count, too
