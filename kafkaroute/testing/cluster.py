"""What the conformance suite asks of a Kafka cluster, embedded or real."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from enum import StrEnum
from types import TracebackType
from typing import Self

__all__ = ["LONG_MESSAGE", "Cluster", "ClusterFeature", "ClusterUnavailable", "unique_name"]


#: Bytes from which :meth:`Cluster.refuse_long_messages` applies.
LONG_MESSAGE = 1000


class ClusterUnavailable(RuntimeError):
    """The cluster cannot be had on this machine; the text says what is missing."""


class ClusterFeature(StrEnum):
    """What a cluster may lack; a test that needs it is skipped there, with the reason."""

    SASL_SSL = "SASL_SSL listeners"
    RESTART = "a broker that can be stopped and started"
    ISOLATION = "transactions with isolation and fencing"
    TIME_INDEX = "offsets by timestamp"
    COOPERATIVE = "a coordinator on which cooperative rebalancing converges"
    STATIC_MEMBERSHIP = "static group membership"
    UNKNOWN_TOPICS = "topics that do not exist until they are created"
    PROMPT_FETCH = "fetches answered as soon as there is data"
    SEVERAL_MEMBERS = "prompt and reliable rebalances among several members"


class Cluster(ABC):
    """A Kafka cluster that tests may use; a context manager that stops it."""

    #: For people: shown in skips and in pytest's header.
    kind: str = "cluster"
    features: frozenset[ClusterFeature] = frozenset()
    #: ``session.timeout.ms`` of the suite's consumers where a test says nothing else.
    session_timeout_ms: int = 10_000
    #: Shortest ``session.timeout.ms`` that its coordinator accepts.
    min_session_timeout_ms: int = 6000

    @property
    @abstractmethod
    def bootstrap_servers(self) -> str:
        """``host:port[,host:port…]`` of the plaintext listener."""

    @property
    @abstractmethod
    def cluster_id(self) -> str:
        """The id that clients see in metadata answers."""

    @abstractmethod
    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Create `name`; returns once the cluster reports its partitions."""

    def client_config(self, security: str = "plaintext") -> dict[str, str]:
        """Canonical settings of a client of this cluster.

        Args:
            security: ``plaintext``, ``scram-sha-512``, ``scram-sha-256`` or ``plain``.

        Raises:
            ValueError: the cluster does not offer `security`.
        """
        if security != "plaintext":
            raise ValueError(f"the {self.kind} cluster offers plaintext only, not {security!r}")
        return {"bootstrap.servers": self.bootstrap_servers}

    def supports(self, feature: ClusterFeature) -> bool:
        return feature in self.features

    @abstractmethod
    def refuse_long_messages(self, topic: str) -> None:
        """The broker answers the next message of `topic` with MSG_SIZE_TOO_LARGE, if it is longer
        than :data:`LONG_MESSAGE`."""

    def writes_hindered(self) -> AbstractContextManager[None]:
        """While inside, no message is acknowledged: the brokers answer with errors worth a retry,
        or not at all. Needs :attr:`ClusterFeature.RESTART`."""
        raise ValueError(f"the {self.kind} cluster cannot be hindered")

    def alter_scram_password(self, security: str, password: str) -> None:
        """Give the user of `security` a new password; :meth:`client_config` has it from now on.
        Needs :attr:`ClusterFeature.SASL_SSL`."""
        raise ValueError(f"the {self.kind} cluster has no {security} user")

    def add_scram_user(self, security: str, name: str, password: str) -> None:
        """Another user of the mechanism of `security`. Needs :attr:`ClusterFeature.SASL_SSL`."""
        raise ValueError(f"the {self.kind} cluster has no {security} users")

    def kill(self) -> None:
        """End the brokers at once; their data stays. Needs :attr:`ClusterFeature.RESTART`."""
        raise ValueError(f"the {self.kind} cluster cannot be killed")

    def start(self) -> None:
        """Start killed brokers again, at the same addresses, with their data."""
        raise ValueError(f"the {self.kind} cluster cannot be started")

    def new_topic(self, partitions: int = 1, prefix: str = "t") -> str:
        """Create a topic whose name nobody else uses; returns the name."""
        name = unique_name(prefix)
        self.create_topic(name, partitions)
        return name

    def warm_up(self) -> None:  # most clusters need none
        """Do beforehand what makes the first use of groups and transactions slow."""

    @abstractmethod
    def stop(self) -> None:
        """Stop the cluster and remove its data. Safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def unique_name(prefix: str) -> str:
    """`prefix` with a random tail, fit for a topic or a group."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"
