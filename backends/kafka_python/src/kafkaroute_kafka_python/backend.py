"""The backend's entry point."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version

from kafkaroute.backend.contract import (
    Backend,
    BackendConsumer,
    BackendProducer,
    Capability,
    DeliveryCallback,
)
from kafkaroute.backend.settings_keys import ConfigValue
from kafkaroute.messages import Origin

__all__ = ["KafkaPythonBackend"]


class KafkaPythonBackend(Backend):
    """Kafka by kafka-python, with librdkafka's names, defaults and semantics."""

    name = "kafka-python"
    capabilities = frozenset(Capability)

    def __init__(self) -> None:
        # Here rather than later: a kafka-python that lacks what this backend builds on is told
        # as a broken backend, with the cause.
        import_module(f"{__package__}.library")
        from .internals import may_be_fast

        if not may_be_fast():  # the library's send() takes neither
            self.capabilities -= {Capability.NULL_KEY_AND_VALUE, Capability.NULL_HEADER_VALUES}

    def open_producer(
        self,
        config: Mapping[str, ConfigValue],
        *,
        on_failure: DeliveryCallback | None = None,
        only_failures: bool = False,
    ) -> BackendProducer:
        from .config import read_settings
        from .producing.producer import KafkaPythonProducer
        from .translate import plan_producer

        plan = plan_producer(read_settings(config, consumer=False))
        return KafkaPythonProducer(plan, on_failure, only_failures=only_failures)

    def open_consumer(
        self, config: Mapping[str, ConfigValue], origins: Mapping[str, Origin]
    ) -> BackendConsumer:
        from .config import read_settings
        from .consuming.consumer import KafkaPythonConsumer
        from .translate import plan_consumer

        return KafkaPythonConsumer(plan_consumer(read_settings(config, consumer=True)), origins)

    def check_config(self, config: Mapping[str, ConfigValue], *, consumer: bool) -> None:
        from .config import read_settings
        from .translate import plan_consumer, plan_producer

        settings = read_settings(config, consumer=consumer)
        if consumer:
            plan_consumer(settings)
        else:
            plan_producer(settings)

    def client_version(self) -> str:
        return f"kafka-python {version('kafka-python')}"
