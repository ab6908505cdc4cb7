"""Tests that need a capability or a feature: run, turned into a refusal, or skipped with a reason."""

import pytest

from kafkaroute.backend.contract import Backend, BackendConsumer, BackendProducer, Capability
from kafkaroute.errors import UnsupportedFeature
from kafkaroute.testing.cluster import Cluster, ClusterFeature
from kafkaroute.testing.conformance.kit import Kit
from kafkaroute.testing.conformance.requirements import assert_refused, needs, requires


def without_abstract_methods(cls):
    """`cls`, made so that only its inherited, refusing methods are there."""
    return type(f"Bare{cls.__name__}", (cls,), dict.fromkeys(cls.__abstractmethods__, nothing))


def nothing(self, *arguments, **named):
    """Does nothing, so refuses nothing."""


class Refusing(Backend):
    """Has no capability, and says so."""

    name = "refusing"

    def open_producer(self, config, *, on_failure=None, only_failures=False):
        self.check_config(config, consumer=False)
        producer = without_abstract_methods(BackendProducer)()

        def send(value, key, partition=-1, callback=None, timestamp=0, headers=None):
            if headers or (value is None and key is None):
                raise UnsupportedFeature("refusing has neither headers nor empty messages")

        producer.sender = lambda topic: send
        return producer

    def open_consumer(self, config, origins):
        self.check_config(config, consumer=True)
        consumer = without_abstract_methods(BackendConsumer)()

        def offsets_for_times(partitions, timeout):
            raise UnsupportedFeature("refusing has no offsets_for_times()")

        consumer.offsets_for_times = offsets_for_times
        return consumer

    def check_config(self, config, *, consumer):
        refused = {"group.instance.id", "security.protocol"} & set(config)
        if config.get("partition.assignment.strategy") == "cooperative-sticky" or refused:
            raise UnsupportedFeature(f"refusing cannot honour {refused or 'cooperative-sticky'}")

    def client_version(self):
        return "refusing 1"


class Careless(Refusing):
    """Has no capability either, and does not say so."""

    def open_producer(self, config, *, on_failure=None, only_failures=False):
        producer = type("Mute", (), {"__getattr__": lambda self, name: nothing})()
        producer.sender = lambda topic: lambda *arguments: None
        producer.close = lambda timeout: 0
        return producer

    def open_consumer(self, config, origins):
        consumer = without_abstract_methods(BackendConsumer)()
        consumer.offsets_for_times = lambda partitions, timeout: []
        return consumer


class Capable(Careless):
    capabilities = frozenset(Capability)


class FakeCluster(without_abstract_methods(Cluster)):
    kind = "fake"
    bootstrap_servers = "127.0.0.1:1"
    features = frozenset({ClusterFeature.RESTART})


def kit_with(backend):
    return Kit(backend(), FakeCluster(), {})


class Example:
    def __init__(self):
        self.ran = 0

    @requires(Capability.PURGE)
    def needs_purge(self, kit):
        self.ran += 1

    @needs(ClusterFeature.RESTART)
    def needs_restart(self, kit):
        self.ran += 1

    @needs(ClusterFeature.SASL_SSL)
    def needs_sasl(self, kit):
        self.ran += 1


@pytest.mark.parametrize("capability", Capability)
def test_refusing_what_is_not_declared_passes(capability):
    assert_refused(kit_with(Refusing), capability)


@pytest.mark.parametrize("capability", Capability)
def test_silence_about_what_is_not_declared_fails(capability):
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        assert_refused(kit_with(Careless), capability)


def test_a_declared_capability_is_tested():
    example = Example()
    example.needs_purge(kit=kit_with(Capable))
    assert example.ran == 1


def test_an_undeclared_capability_must_be_refused_instead():
    example = Example()
    example.needs_purge(kit=kit_with(Refusing))
    with pytest.raises(pytest.fail.Exception):
        example.needs_purge(kit=kit_with(Careless))
    assert example.ran == 0


def test_a_feature_of_the_cluster_is_used():
    example = Example()
    example.needs_restart(kit=kit_with(Capable))
    assert example.ran == 1


def test_what_the_cluster_lacks_is_skipped_with_the_reason():
    with pytest.raises(pytest.skip.Exception, match="the fake cluster lacks SASL_SSL listeners"):
        Example().needs_sasl(kit=kit_with(Capable))
