"""Partitions are librdkafka's, key by key."""

from __future__ import annotations

import random
import time
from collections import Counter
from zlib import crc32

import pytest

from kafkaroute.testing.embedded import EmbeddedCluster
from kafkaroute_kafka_python.partitioner import PARTITIONERS
from kafkaroute_kafka_python.producing.topics import Topic

PARTITIONS = 12
_SOURCE = random.Random(4)
KEYS = [_SOURCE.randbytes(length) for length in range(1, 31) for _ in range(10)]


@pytest.mark.embedded
@pytest.mark.parametrize("name", [name for name in PARTITIONERS if name != "random"])
def test_same_partition_as_librdkafka(name: str, embedded_cluster: EmbeddedCluster) -> None:
    import confluent_kafka

    topic = embedded_cluster.new_topic(PARTITIONS)
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": embedded_cluster.bootstrap_servers, "partitioner": name}
    )
    landed: dict[bytes, int] = {}
    for key in KEYS:
        producer.produce(
            topic,
            b"v",
            key,
            on_delivery=lambda _error, message: landed.update({message.key(): message.partition()}),
        )
    assert producer.flush(30) == 0
    assert len(landed) == len(set(KEYS)) >= 290
    assert {key: PARTITIONERS[name](key, PARTITIONS) for key in landed} == landed


def test_default_is_crc32() -> None:
    choose = PARTITIONERS["consistent_random"]
    assert [choose(key, PARTITIONS) for key in KEYS] == [crc32(key) % PARTITIONS for key in KEYS]


@pytest.mark.parametrize(
    ("name", "of_none", "of_empty"),
    [
        ("consistent", 0, 0),
        ("consistent_random", -1, -1),
        ("murmur2_random", -1, 0x106E08D9 % PARTITIONS),
        ("fnv1a_random", -1, ((1 << 32) - 0x811C9DC5) % PARTITIONS),
    ],
)
def test_missing_and_empty_keys(name: str, of_none: int, of_empty: int) -> None:
    assert PARTITIONERS[name](None, PARTITIONS) == of_none
    assert PARTITIONERS[name](b"", PARTITIONS) == of_empty


def test_messages_without_a_key_stay_together_for_the_linger() -> None:
    topic = Topic("t", PARTITIONERS["consistent_random"], 0.01)
    topic.set_count(PARTITIONS)
    now = time.monotonic()
    assert len({topic.choose(None, now + 0.0001 * step) for step in range(50)}) == 1
    seen = Counter(topic.choose(None, now + 0.02 * step) for step in range(2000))
    assert len(seen) == PARTITIONS


def test_messages_without_a_key_scatter_without_the_linger() -> None:
    topic = Topic("t", PARTITIONERS["consistent_random"], 0.0)
    topic.set_count(PARTITIONS)
    now = time.monotonic()
    assert len({topic.choose(None, now) for _ in range(500)}) == PARTITIONS
