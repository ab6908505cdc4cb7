"""Administration of real test clusters.

The one place in the package that imports a Kafka client, when it is first used: creating topics
and changing passwords needs one, and confluent-kafka comes with the ``testing`` extra.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any

from .cluster import unique_name

__all__ = ["Admin"]

_TIMEOUT = 30.0  # s


class Admin:
    """Admin calls to the cluster at `bootstrap_servers` (plaintext)."""

    def __init__(self, bootstrap_servers: str) -> None:
        from confluent_kafka.admin import AdminClient

        self._config = {"bootstrap.servers": bootstrap_servers, "log_level": 0}
        self._client = AdminClient(self._config)

    def cluster_id(self) -> str:
        return str(self._client.list_topics(timeout=_TIMEOUT).cluster_id)

    def create_topic(self, name: str, partitions: int) -> None:
        """Create `name` and wait until every partition has a leader."""
        from confluent_kafka import KafkaError, KafkaException
        from confluent_kafka.admin import NewTopic

        deadline = time.monotonic() + _TIMEOUT
        while True:
            try:
                _wait_for(self._client.create_topics([NewTopic(name, partitions, 1)]))
            except KafkaException as error:
                # So says the controller until a broker that was away has reported back.
                away = error.args[0].code() == KafkaError.INVALID_REPLICATION_FACTOR
                if not away or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                break
        while True:
            topic = self._client.list_topics(name, timeout=_TIMEOUT).topics[name]
            leaders = [partition.leader for partition in topic.partitions.values()]
            if topic.error is None and len(leaders) == partitions and min(leaders) >= 0:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"topic {name} has no leaders after {_TIMEOUT:.0f} s")
            time.sleep(0.01)

    def configure_topic(self, name: str, key: str, value: object) -> None:
        """Set one setting of the topic `name`; returns once the cluster has it."""
        from confluent_kafka.admin import (
            AlterConfigOpType,
            ConfigEntry,
            ConfigResource,
            ResourceType,
        )

        change = ConfigEntry(key, str(value), incremental_operation=AlterConfigOpType.SET)
        topic = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[change])
        _wait_for(self._client.incremental_alter_configs([topic]))
        deadline = time.monotonic() + _TIMEOUT
        while True:
            [answer] = self._client.describe_configs(
                [ConfigResource(ResourceType.TOPIC, name)]
            ).values()
            if answer.result(timeout=_TIMEOUT)[key].value == str(value):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{key} of {name} did not change in {_TIMEOUT:.0f} s")
            time.sleep(0.02)

    def set_scram_password(self, user: str, mechanism: str, password: str) -> None:
        """Create or change the SCRAM password of `user`."""
        from confluent_kafka.admin import (
            ScramCredentialInfo,
            ScramMechanism,
            UserScramCredentialUpsertion,
        )

        kind = getattr(ScramMechanism, mechanism.replace("-", "_"))
        # 4096 iterations: the least that Kafka accepts.
        change = UserScramCredentialUpsertion(
            user, ScramCredentialInfo(kind, 4096), password.encode()
        )
        _wait_for(self._client.alter_user_scram_credentials([change]))

    def warm_up(self) -> None:
        """Let the cluster create its topics for groups and transactions, which takes seconds."""
        from confluent_kafka import Consumer, Producer

        topic = unique_name("warm-up")
        self.create_topic(topic, 1)
        producer = Producer(self._config | {"transactional.id": topic})
        producer.init_transactions(_TIMEOUT)
        producer.begin_transaction()
        producer.produce(topic, b"warm")
        producer.commit_transaction(_TIMEOUT)
        consumer = Consumer(
            self._config | {"group.id": topic, "auto.offset.reset": "earliest"},
        )
        try:
            consumer.subscribe([topic])
            deadline = time.monotonic() + _TIMEOUT
            while consumer.poll(0.2) is None:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no group could be joined within {_TIMEOUT:.0f} s")
        finally:
            consumer.close()


def _wait_for(futures: dict[Any, Future[Any]]) -> None:
    for future in futures.values():
        future.result(timeout=_TIMEOUT)
