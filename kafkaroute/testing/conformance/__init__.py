"""The conformance suite: what every backend of kafkaroute must pass.

A backend's distribution has a test module like this one::

    import pytest
    from kafkaroute.testing.conformance import BackendConformance

    class TestEmbedded(BackendConformance):
        backend = "my-backend"            # an entry point's name, or a Backend class or instance

        @pytest.fixture
        def cluster(self, embedded_cluster):
            return embedded_cluster

    @pytest.mark.kafka
    class TestRealKafka(BackendConformance):
        backend = "my-backend"

        @pytest.fixture
        def cluster(self, real_cluster):
            return real_cluster

The fixtures come from :mod:`kafkaroute.testing.plugin`, named in the root ``conftest.py``; any
other :class:`kafkaroute.testing.cluster.Cluster` will do. `extra_settings` of the class are given
to every client (for instance what a backend must be told on the embedded cluster).

The tests work on the contract of :mod:`kafkaroute.backend.contract`, nothing above it. Where the
backend does not declare a capability, the tests of it assert that it refuses with
UnsupportedFeature. Tests that need what the embedded cluster lacks are skipped there, each with
its reason; real Kafka runs all of them.

No test can be dropped: a subclass that overrides one, or sets it to None, is a TypeError when the
module is imported, unless the replacement is decorated with ``@deviates("the reason")``.
"""

from .guard import deviates
from .suite import BackendConformance

__all__ = ["BackendConformance", "deviates"]
