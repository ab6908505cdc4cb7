"""kafkaroute's conformance suite over kafka-python, on both kinds of cluster."""

from __future__ import annotations

import pytest

from kafkaroute.testing.cluster import Cluster
from kafkaroute.testing.conformance import BackendConformance
from kafkaroute.testing.embedded import KAFKA_PYTHON_SETTINGS


@pytest.mark.embedded
class TestKafkaPythonEmbedded(BackendConformance):
    backend = "kafka-python"
    extra_settings = KAFKA_PYTHON_SETTINGS

    @pytest.fixture
    def cluster(self, embedded_cluster: Cluster) -> Cluster:
        return embedded_cluster


@pytest.mark.kafka
class TestKafkaPythonRealKafka(BackendConformance):
    backend = "kafka-python"

    @pytest.fixture
    def cluster(self, real_cluster: Cluster) -> Cluster:
        return real_cluster
