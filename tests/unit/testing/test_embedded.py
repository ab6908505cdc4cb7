"""The embedded cluster: reachable, isolated, faulty on demand, honest when it cannot be had."""

import ctypes
import subprocess
import sys

import pytest
from confluent_kafka import Producer

from kafkaroute.testing import librdkafka_mock
from kafkaroute.testing.cluster import ClusterUnavailable
from kafkaroute.testing.embedded import KAFKA_PYTHON_SETTINGS, EmbeddedCluster


@pytest.fixture
def cluster():
    with EmbeddedCluster(partitions=3) as running:
        yield running


def metadata(cluster):
    return Producer(cluster.client_config()).list_topics(timeout=5)


def deliver(producer, topic, value=b"v", timeout=5):
    reports = []
    producer.produce(topic, value, on_delivery=lambda error, msg: reports.append((error, msg)))
    producer.flush(timeout)
    return reports


def test_topics_have_the_partitions_asked_for(cluster):
    cluster.create_topic("own")
    cluster.create_topic("wide", 12)
    topics = metadata(cluster).topics
    assert {name: len(topic.partitions) for name, topic in topics.items()} == {"own": 3, "wide": 12}


def test_a_topic_cannot_be_created_twice(cluster):
    cluster.create_topic("own")
    with pytest.raises(ValueError, match="'own'"):
        cluster.create_topic("own")


def test_cluster_id_is_what_clients_see_and_differs_between_clusters(cluster):
    with EmbeddedCluster() as other:
        assert metadata(cluster).cluster_id == cluster.cluster_id
        assert metadata(other).cluster_id == other.cluster_id
        assert cluster.cluster_id != other.cluster_id


def test_several_brokers():
    with EmbeddedCluster(brokers=3) as cluster:
        assert len(metadata(cluster).brokers) == 3
        assert cluster.bootstrap_servers.count(",") == 2


def test_other_processes_reach_it(cluster):
    cluster.create_topic("shared", 1)
    code = (
        "import sys, confluent_kafka as ck\n"
        "p = ck.Producer({'bootstrap.servers': sys.argv[1]})\n"
        "p.produce('shared', b'from outside')\n"
        "sys.exit(p.flush(10))\n"
    )
    subprocess.run([sys.executable, "-c", code, cluster.bootstrap_servers], check=True, timeout=30)
    [(error, message)] = deliver(Producer(cluster.client_config()), "shared")
    assert error is None
    assert message.offset() == 1


def test_pushed_errors_reach_the_client(cluster):
    cluster.create_topic("faulty", 1)
    message_size_too_large = 10
    produce_request = 0
    cluster.push_request_errors(produce_request, [message_size_too_large])
    producer = Producer(cluster.client_config())
    [(error, _)] = deliver(producer, "faulty")
    assert error.code() == message_size_too_large
    [(error, _)] = deliver(producer, "faulty")
    assert error is None


def test_killed_brokers_deliver_nothing_until_they_start(cluster):
    cluster.create_topic("late", 1)
    producer = Producer(cluster.client_config() | {"log_level": 0})
    assert deliver(producer, "late")[0][0] is None
    cluster.kill()
    assert deliver(producer, "late", timeout=0.3) == []
    cluster.start()
    assert producer.flush(10) == 0


def test_stop_twice_and_use_after(cluster):
    cluster.stop()
    cluster.stop()
    with pytest.raises(RuntimeError, match="stopped"):
        cluster.create_topic("too-late")


def test_settings_name_the_backend_that_needs_more(cluster):
    plain = {"bootstrap.servers": cluster.bootstrap_servers}
    assert cluster.client_config() == plain
    assert cluster.client_config(backend="confluent-kafka") == plain
    assert cluster.client_config(backend="kafka-python") == plain | KAFKA_PYTHON_SETTINGS


def test_it_offers_no_security(cluster):
    with pytest.raises(ValueError, match="scram-sha-512"):
        cluster.client_config("scram-sha-512")


def test_missing_symbols_are_a_clear_error():
    with pytest.raises(ClusterUnavailable, match=r"does not export rd_kafka_\w+.*pip install"):
        librdkafka_mock.MockFunctions(ctypes.CDLL(None), "some-library.so")


def test_missing_library_is_a_clear_error(monkeypatch):
    monkeypatch.setattr(librdkafka_mock, "_candidates", lambda: iter(["/nowhere/librdkafka.so"]))
    librdkafka_mock.load_mock_functions.cache_clear()
    try:
        with pytest.raises(ClusterUnavailable, match=r"no librdkafka .*nowhere.*pip install"):
            EmbeddedCluster()
    finally:
        librdkafka_mock.load_mock_functions.cache_clear()
