"""Who asks the same question shares one cache."""

from __future__ import annotations

import pytest

import kafkaroute
from kafkaroute.catalog.cache.shared import acquire_cache, release_cache
from kafkaroute.errors import ClosedError, RouteRejected
from kafkaroute.settings import Settings
from kafkaroute.testing.catalog_stub import CatalogStub

CHANNEL = "kafka://shared.example/orders"


@pytest.fixture
def stub():
    with CatalogStub() as stub:
        stub.put(CHANNEL, topic="orders", connection={"bootstrap.servers": "b:9092"})
        yield stub


def test_the_same_question_is_asked_once(stub):
    settings = Settings.from_dict(stub.settings())
    one, two = acquire_cache(settings, "produce"), acquire_cache(settings, "produce")
    assert one is two
    one.get(CHANNEL)
    two.get(CHANNEL)
    assert len(stub.requests) == 1
    release_cache(one)
    assert two.get(CHANNEL).topic == "orders"
    release_cache(two)
    with pytest.raises(ClosedError):
        two.get(CHANNEL)


@pytest.mark.parametrize("other", [{"client_id": "b"}, {"ttl": 7}, {"config_profile": "other"}])
def test_another_question_has_a_cache_of_its_own(stub, other):
    one = acquire_cache(Settings.from_dict(stub.settings()), "produce")
    two = acquire_cache(Settings.from_dict(stub.settings(**other)), "produce")
    try:
        assert one is not two
    finally:
        release_cache(one)
        release_cache(two)


def test_tls_that_the_application_turns_on_counts(stub):
    demanding = stub.settings(policy={"require_tls": True})
    with pytest.raises(RouteRejected, match="orders"):
        kafkaroute.resolve(CHANNEL, demanding)
    demanding["client_config"] = {"security.protocol": "SSL"}
    assert kafkaroute.resolve(CHANNEL, demanding).topic == "orders"
