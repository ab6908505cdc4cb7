"""kafkaroute's conformance suite over confluent-kafka, on both kinds of cluster."""

from __future__ import annotations

import pytest

from kafkaroute.testing.cluster import Cluster
from kafkaroute.testing.conformance import BackendConformance


@pytest.mark.embedded
class TestConfluentEmbedded(BackendConformance):
    backend = "confluent-kafka"

    @pytest.fixture
    def cluster(self, embedded_cluster: Cluster) -> Cluster:
        return embedded_cluster


@pytest.mark.kafka
class TestConfluentRealKafka(BackendConformance):
    backend = "confluent-kafka"

    @pytest.fixture
    def cluster(self, real_cluster: Cluster) -> Cluster:
        return real_cluster
