"""What a cluster can do that has admin calls: Apache Kafka, ours or the user's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from .admin import Admin
from .cluster import LONG_MESSAGE, Cluster

__all__ = ["AdministeredCluster"]


class AdministeredCluster(Cluster):
    """A cluster that is set up through its admin calls."""

    @cached_property
    def admin(self) -> Admin:
        return Admin(self.bootstrap_servers)

    @property
    def cluster_id(self) -> str:
        return self.admin.cluster_id()

    def create_topic(self, name: str, partitions: int = 1) -> None:
        self.admin.create_topic(name, partitions)

    def refuse_long_messages(self, topic: str) -> None:
        self.admin.configure_topic(topic, "max.message.bytes", LONG_MESSAGE)

    @contextmanager
    def writes_hindered(self, topic: str) -> Iterator[None]:
        # One replica is all there is, so a message for two cannot be acknowledged (retriable).
        self.admin.configure_topic(topic, "min.insync.replicas", 2)
        try:
            yield
        finally:
            self.admin.configure_topic(topic, "min.insync.replicas", 1)

    def warm_up(self) -> None:
        """Join a group and commit a transaction once: that takes seconds the first time."""
        self.admin.warm_up()
