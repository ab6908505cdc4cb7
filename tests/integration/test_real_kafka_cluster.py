"""The real test cluster: both listeners, its users, kill and restart, passwords, cleaning up."""

import time
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, Producer

from kafkaroute.testing.cluster import ClusterFeature, ClusterUnavailable
from kafkaroute.testing.real_kafka import RealCluster

pytestmark = pytest.mark.kafka


def deliver(config, topic, timeout=20):
    reports = []
    producer = Producer(config | {"log_level": 0})
    producer.produce(topic, b"v", on_delivery=lambda error, msg: reports.append(error))
    producer.flush(timeout)
    return reports


def need_own_broker(cluster):
    if not cluster.supports(ClusterFeature.RESTART):
        pytest.skip(f"{cluster.kind} is not ours to stop or to reconfigure")


@pytest.mark.parametrize("security", ["plaintext", "scram-sha-512", "scram-sha-256", "plain"])
def test_every_listener_and_user_works(real_cluster, security):
    if security != "plaintext":
        need_own_broker(real_cluster)
    assert deliver(real_cluster.client_config(security), real_cluster.new_topic()) == [None]


def test_the_two_clusters_are_two(real_clusters):
    seen = {
        Producer(cluster.client_config()).list_topics(timeout=10).cluster_id
        for cluster in real_clusters
    }
    assert seen == {cluster.cluster_id for cluster in real_clusters}
    assert len(seen) == 2


def test_topics_are_there_when_create_topic_returns(real_cluster):
    topic = real_cluster.new_topic(5)
    described = Producer(real_cluster.client_config()).list_topics(topic, timeout=10).topics[topic]
    assert described.error is None
    assert len(described.partitions) == 5


def test_life_of_a_broker(real_clusters):
    """Kill, restart, new password, stop: one broker of its own, for starting one takes seconds."""
    need_own_broker(real_clusters[0])
    with RealCluster(real_clusters[0].installation) as cluster:
        topic = cluster.new_topic()
        folder = Path(cluster._folder)
        first = cluster.pid
        cluster.kill()
        assert cluster.pid is None
        cluster.start()
        assert cluster.pid != first
        assert deliver(cluster.client_config(), topic) == [None]

        old = cluster.client_config("scram-sha-512")
        cluster.alter_scram_password("scram-sha-512", "changed")
        assert deliver(cluster.client_config("scram-sha-512"), topic) == [None]
        refused = deliver(old | {"message.timeout.ms": 1000}, topic)
        assert [error.code() for error in refused] == [KafkaError._MSG_TIMED_OUT]
    assert not folder.exists()
    cluster.stop()


def test_a_broker_that_does_not_start_says_so_and_leaves_nothing(real_clusters, tmp_path):
    need_own_broker(real_clusters[0])
    began = time.monotonic()
    with pytest.raises(ClusterUnavailable, match="no number") as caught:
        RealCluster(real_clusters[0].installation, properties={"node.id": "no number"})
    assert time.monotonic() - began < 30
    assert "password=" not in str(caught.value)


def test_unknown_security_is_refused(real_cluster):
    with pytest.raises(ValueError, match="kerberos"):
        real_cluster.client_config("kerberos")
