"""What a cluster can do that has admin calls: Apache Kafka, ours or the user's."""

from __future__ import annotations

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

    def warm_up(self) -> None:
        """Join a group and commit a transaction once: that takes seconds the first time."""
        self.admin.warm_up()
