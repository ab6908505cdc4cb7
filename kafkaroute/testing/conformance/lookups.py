"""Questions to the cluster: topics, watermarks, offsets by time."""

from __future__ import annotations

import time

import pytest

from ...backend.contract import Capability
from ...errors import KafkaException
from ...messages import OFFSET_END, KafkaError, TopicPartition
from ..cluster import ClusterFeature
from .kit import PATIENCE, UNREACHABLE, Kit
from .requirements import needs, requires

__all__ = ["LookupTests"]


class LookupTests:
    @pytest.mark.parametrize("asking", ["producer", "consumer"])
    def test_topics_brokers_and_the_cluster_id(self, kit: Kit, asking: str) -> None:
        topic, other = kit.topic(3), kit.topic(1)
        client = kit.producer() if asking == "producer" else kit.consumer()
        metadata = client.list_topics(None, PATIENCE)
        assert metadata.cluster_id == kit.cluster.cluster_id
        assert len(metadata.topics[topic].partitions) == 3
        assert metadata.topics[topic].error is None
        assert other in metadata.topics
        addresses = {f"{broker.host}:{broker.port}" for broker in metadata.brokers.values()}
        assert set(kit.cluster.bootstrap_servers.split(",")) <= addresses
        leaders = {partition.leader for partition in metadata.topics[topic].partitions.values()}
        assert leaders <= set(metadata.brokers)

    @pytest.mark.parametrize("asking", ["producer", "consumer"])
    def test_one_topic(self, kit: Kit, asking: str) -> None:
        topic = kit.topic(2)
        kit.topic()
        client = kit.producer() if asking == "producer" else kit.consumer()
        metadata = client.list_topics(topic, PATIENCE)
        assert list(metadata.topics) == [topic]
        assert sorted(metadata.topics[topic].partitions) == [0, 1]
        assert metadata.cluster_id == kit.cluster.cluster_id

    @needs(ClusterFeature.UNKNOWN_TOPICS)
    @pytest.mark.parametrize("asking", ["producer", "consumer"])
    def test_unknown_topic_carries_an_error(self, kit: Kit, asking: str) -> None:
        unknown = kit.name("never-created")
        client = kit.producer() if asking == "producer" else kit.consumer()
        error = client.list_topics(unknown, PATIENCE).topics[unknown].error
        assert error is not None
        assert error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART

    @pytest.mark.parametrize("asking", ["producer", "consumer"])
    def test_unreachable_cluster_is_an_error_in_time(self, kit: Kit, asking: str) -> None:
        client = (
            kit.stranded_producer()
            if asking == "producer"
            else kit.consumer({"bootstrap.servers": UNREACHABLE})
        )
        began = time.monotonic()
        with pytest.raises(KafkaException) as caught:
            client.list_topics(None, 0.5)
        assert time.monotonic() - began < 10
        code = caught.value.args[0].code()
        assert code in {KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN}

    def test_watermarks(self, kit: Kit) -> None:
        topic = kit.topic(2)
        kit.write(topic, [b"v"] * 7, partition=1)
        consumer = kit.consumer()
        empty, filled = TopicPartition(topic, 0), TopicPartition(topic, 1)
        assert consumer.get_watermark_offsets(empty, PATIENCE, False) == (0, 0)
        assert consumer.get_watermark_offsets(filled, PATIENCE, False) == (0, 7)

    def test_cached_high_watermark_follows_reading(self, kit: Kit) -> None:
        topic = kit.topic()
        kit.write(topic, [b"v"] * 7)
        consumer = kit.reader(topic)
        kit.read(consumer, 7)
        _, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), PATIENCE, True)
        assert high == 7

    @needs(ClusterFeature.TIME_INDEX)
    @requires(Capability.OFFSETS_FOR_TIMES)
    def test_offsets_by_time(self, kit: Kit) -> None:
        topic = kit.topic(2)
        start = 1_700_000_000_000
        for number in range(5):
            kit.write(topic, [b"v"], partition=0, timestamp=start + number * 1000)
        consumer = kit.consumer()
        for asked, expected in [
            (start - 1, 0),
            (start, 0),
            (start + 1, 1),
            (start + 4000, 4),
            (start + 4001, OFFSET_END),
        ]:
            [answer] = consumer.offsets_for_times([TopicPartition(topic, 0, asked)], PATIENCE)
            assert (answer.topic, answer.partition, answer.offset) == (topic, 0, expected)
        both = [TopicPartition(topic, 0, start + 2000), TopicPartition(topic, 1, start)]
        answers = consumer.offsets_for_times(both, PATIENCE)
        assert [(each.partition, each.offset) for each in answers] == [(0, 2), (1, OFFSET_END)]
