"""A Kafka cluster inside this process: librdkafka's mock brokers, reachable over TCP.

Starts in milliseconds and needs no JVM. Other processes may use it while this one lives.
Its limits, measured with librdkafka 2.16: each partition keeps the last 5 MB or 100,000 batches;
unknown topics appear when first asked for; no admin calls, no TLS, no SASL, no isolation of
transactions; offsets by timestamp are always -1; cooperative rebalancing does not converge. A group
of several members works, but slowly (a rebalance lasts until a second before the session timeout),
refuses commits meanwhile, and may answer a SyncGroup that comes late with INVALID_REQUEST.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..messages import KafkaError
from .cluster import Cluster, ClusterFeature, ClusterUnavailable
from .librdkafka_mock import load_mock_functions

__all__ = ["KAFKA_PYTHON_SETTINGS", "EmbeddedCluster"]

#: kafka-python cannot read the mock's answer to ApiVersions v4, so it must not ask. librdkafka
#: must: told not to ask it falls back to a protocol without record headers.
KAFKA_PYTHON_SETTINGS = {"api.version.request": "false", "broker.version.fallback": "2.3.0"}

_PRODUCE = 0  # its API key in the Kafka protocol
_DEFAULT_PARTITIONS = 4  # of topics the mock creates by itself; fixed inside librdkafka


class EmbeddedCluster(Cluster):
    """An embedded cluster.

    Args:
        partitions: of topics made by :meth:`create_topic` without a number. A topic that a client
            names first has 4.
        brokers: how many.

    Raises:
        ClusterUnavailable: no librdkafka with a mock cluster is installed.
    """

    kind = "embedded"
    features = frozenset({ClusterFeature.RESTART})
    min_session_timeout_ms = 1000
    # librdkafka's mock ends a rebalance one second before the session timeout (rd_kafka_mock_cgrp).
    session_timeout_ms = 1600

    def __init__(self, partitions: int = _DEFAULT_PARTITIONS, brokers: int = 1) -> None:
        self._partitions = partitions
        self._brokers = brokers
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._c = load_mock_functions()
        self._client: int | None = self._c.open_client()
        self._cluster: int | None = self._c.mock_cluster_new(self._client, brokers)
        if not self._cluster:
            self._c.destroy(self._client)
            raise ClusterUnavailable("librdkafka could not start its mock cluster")
        self._bootstrap_servers: str = self._c.mock_cluster_bootstraps(self._cluster).decode()
        self._c.mock_group_initial_rebalance_delay_ms(self._cluster, 0)

    @property
    def bootstrap_servers(self) -> str:
        return self._bootstrap_servers

    @property
    def cluster_id(self) -> str:
        # librdkafka builds it from the address of the cluster's structure.
        return f"mockCluster{self._handle() >> 2:x}"

    def client_config(
        self, security: str = "plaintext", *, backend: str | None = None
    ) -> dict[str, str]:
        """Canonical settings; `backend` ``kafka-python`` adds :data:`KAFKA_PYTHON_SETTINGS`."""
        config = super().client_config(security)
        if backend == "kafka-python":
            config |= KAFKA_PYTHON_SETTINGS
        return config

    def create_topic(self, name: str, partitions: int | None = None) -> None:
        """Create `name`, with `partitions` or the cluster's own number of them.

        Raises:
            ValueError: librdkafka refuses, for instance because the topic exists.
        """
        count = self._partitions if partitions is None else partitions
        error = self._c.mock_topic_create(self._handle(), name.encode(), count, self._brokers)
        if error:
            raise ValueError(f"the embedded cluster refuses topic {name!r}: error {error}")

    def push_request_errors(self, api_key: int, errors: Sequence[int]) -> None:
        """Answer the next requests of `api_key` with `errors`, one each (Kafka's numbers; 0 lets
        a request pass, -195 drops the connection)."""
        array = (ctypes.c_int * len(errors))(*errors)
        self._c.mock_push_request_errors_array(self._handle(), api_key, len(errors), array)

    def clear_request_errors(self, api_key: int) -> None:
        self._c.mock_clear_request_errors(self._handle(), api_key)

    def refuse_long_messages(self, topic: str) -> None:
        self.push_request_errors(_PRODUCE, [KafkaError.MSG_SIZE_TOO_LARGE])

    @contextmanager
    def writes_hindered(self) -> Iterator[None]:
        self.push_request_errors(_PRODUCE, [KafkaError.NOT_LEADER_FOR_PARTITION] * 1000)
        try:
            yield
        finally:
            self.clear_request_errors(_PRODUCE)

    def set_group_initial_rebalance_delay(self, milliseconds: int) -> None:
        """How long a new group waits for more members; 0 here, 3000 in Kafka."""
        self._c.mock_group_initial_rebalance_delay_ms(self._handle(), milliseconds)

    def set_rtt(self, milliseconds: int) -> None:
        """Delay every answer of every broker."""
        for broker in range(1, self._brokers + 1):
            self._c.mock_broker_set_rtt(self._handle(), broker, milliseconds)

    def kill(self) -> None:
        """Close all connections and refuse new ones until :meth:`start`."""
        for broker in range(1, self._brokers + 1):
            self._c.mock_broker_set_down(self._handle(), broker)

    def start(self) -> None:
        for broker in range(1, self._brokers + 1):
            self._c.mock_broker_set_up(self._handle(), broker)

    def stop(self) -> None:
        with self._lock:
            client, cluster = self._client, self._cluster
            self._client = self._cluster = None
        # A forked child has a copy of the handles but none of librdkafka's threads.
        if client is None or os.getpid() != self._owner:
            return
        self._c.mock_cluster_destroy(cluster)
        self._c.destroy(client)

    def _handle(self) -> int:
        if self._cluster is None:
            raise RuntimeError("the embedded cluster is stopped")
        return self._cluster
