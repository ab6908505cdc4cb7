"""The entry point: settings and capabilities."""

from kafkaroute.backend.contract import Backend, Capability
from kafkaroute.errors import ConfigurationError, UnsupportedFeature
from kafkaroute.messages import (
    BrokerMetadata,
    ClusterMetadata,
    KafkaError,
    PartitionMetadata,
    TopicMetadata,
    kafka_exception,
)

from .broker import Broker

PRODUCER_SETTINGS = {"queue.buffering.max.messages", "acks", "linger.ms"}
CONSUMER_SETTINGS = {"group.id", "auto.offset.reset", "enable.auto.commit"}
COMMON_SETTINGS = {"bootstrap.servers", "client.id"}
RESETS = {"earliest", "latest"}


class MemoryBackend(Backend):
    name = "memory"
    contract_version = 1
    capabilities = frozenset(
        {Capability.HEADERS, Capability.NULL_KEY_AND_VALUE, Capability.NULL_HEADER_VALUES}
    )

    def check_config(self, config, *, consumer):
        for key in config:
            # What belongs to the other kind of client does no harm here.
            if key not in COMMON_SETTINGS | PRODUCER_SETTINGS | CONSUMER_SETTINGS:
                raise UnsupportedFeature(f"the memory backend has no setting {key}")
        if not config.get("bootstrap.servers"):
            raise ConfigurationError("bootstrap.servers is missing")
        reset = config.get("auto.offset.reset", "latest")
        if consumer and reset not in RESETS:
            raise ConfigurationError(f"auto.offset.reset is none of {sorted(RESETS)}: {reset!r}")

    def open_producer(self, config, *, on_failure=None, only_failures=False):  # nothing fails here
        from .producer import MemoryProducer

        self.check_config(config, consumer=False)
        limit = int(config.get("queue.buffering.max.messages", 100_000))
        broker = Broker.named(config["bootstrap.servers"])
        return MemoryProducer(broker, limit, only_failures=only_failures)

    def open_consumer(self, config, origins):
        from .consumer import MemoryConsumer

        self.check_config(config, consumer=True)
        if not config.get("group.id"):
            raise kafka_exception(KafkaError._INVALID_ARG, "group.id is missing")
        return MemoryConsumer(
            Broker.named(config["bootstrap.servers"]),
            config["group.id"],
            origins,
            earliest=config.get("auto.offset.reset", "latest") == "earliest",
            auto_commit=str(config.get("enable.auto.commit", True)).lower() == "true",
        )

    def client_version(self):
        return "memory 1.2.3"


def describe(broker, topic):
    with broker.lock:
        names = list(broker.logs) if topic is None else [topic]
        partitions = {name: range(len(broker.log(name))) for name in names}
    topics = {
        name: TopicMetadata(name, {number: PartitionMetadata(number, 1) for number in numbers})
        for name, numbers in partitions.items()
    }
    return ClusterMetadata(broker.name, 1, {1: BrokerMetadata(1, broker.name, 0)}, topics)
