"""Clusters that the user already runs, named by ``KAFKAROUTE_TEST_CLUSTERS``."""

from __future__ import annotations

import os

from .administered import AdministeredCluster
from .cluster import ClusterFeature, ClusterUnavailable

__all__ = ["VARIABLE", "ExternalCluster", "external_clusters"]

VARIABLE = "KAFKAROUTE_TEST_CLUSTERS"


class ExternalCluster(AdministeredCluster):
    """A running cluster: plaintext, not stopped by tests, its topics left behind."""

    kind = "external Kafka"
    features = frozenset(ClusterFeature) - {
        ClusterFeature.RESTART,
        ClusterFeature.SASL_SSL,
    }

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers

    @property
    def bootstrap_servers(self) -> str:
        return self._bootstrap_servers

    def stop(self) -> None:
        """Nothing: the cluster is not ours."""


def external_clusters() -> list[ExternalCluster]:
    """The clusters of the variable: bootstrap servers, cluster after cluster, between semicolons.

    Raises:
        ClusterUnavailable: the variable is set, but does not name two clusters.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return []
    names = [name.strip() for name in text.split(";") if name.strip()]
    if len(names) != 2:
        raise ClusterUnavailable(f"{VARIABLE} must name two clusters, as in host:9092;other:9092")
    return [ExternalCluster(name) for name in names]
