"""The backend's entry point."""

from __future__ import annotations

from collections.abc import Mapping

import confluent_kafka

from kafkaroute.backend.contract import Backend, Capability, DeliveryCallback
from kafkaroute.backend.settings_keys import ConfigValue
from kafkaroute.messages import Origin

from .config import check
from .consumer import ConfluentConsumer
from .forks import NativeConsumer, NativeProducer
from .producer import ConfluentProducer

__all__ = ["ConfluentBackend"]


class ConfluentBackend(Backend):
    """Kafka through confluent-kafka, that is librdkafka."""

    name = "confluent-kafka"
    contract_version = 1
    capabilities = frozenset(Capability)

    def open_producer(
        self,
        config: Mapping[str, ConfigValue],
        *,
        on_failure: DeliveryCallback | None = None,
        only_failures: bool = False,
    ) -> ConfluentProducer:
        return ConfluentProducer(config, on_failure, only_failures=only_failures)

    def open_consumer(
        self, config: Mapping[str, ConfigValue], origins: Mapping[str, Origin]
    ) -> ConfluentConsumer:
        return ConfluentConsumer(config, origins)

    def check_config(self, config: Mapping[str, ConfigValue], *, consumer: bool) -> None:
        check(NativeConsumer if consumer else NativeProducer, config, consumer=consumer)

    def client_version(self) -> str:
        library = confluent_kafka.libversion()[0]
        return f"confluent-kafka {confluent_kafka.version()} (librdkafka {library})"
