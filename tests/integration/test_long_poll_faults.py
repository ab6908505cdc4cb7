"""`long_poll` with services that know nothing of it, or fail."""

import time

import pytest

from kafkaroute import Settings
from kafkaroute.catalog.cache.cache import RouteCache
from kafkaroute.catalog.http import HttpCatalog
from kafkaroute.testing.catalog_stub import CatalogStub, Fault

BAR = "kafka://example.com/bar"
CONNECTION = {"bootstrap.servers": "b1.example.net:9092"}


@pytest.fixture
def stub():
    with CatalogStub() as stub:
        stub.etag = True
        stub.put(BAR, topic="t1", connection=CONNECTION)
        yield stub


@pytest.fixture
def cache(stub):
    catalog = HttpCatalog(Settings.from_dict(stub.settings()))
    cache = RouteCache(catalog, ttl=300, timeout=1, long_poll=20)
    yield cache
    cache.close()


def polls(stub):
    return [one for one in stub.requests if one.headers.get("Prefer") == "wait=20"]


def wait_for_a_poll(stub):
    end = time.monotonic() + 20
    while not polls(stub):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_service_that_ignores_the_wish_to_wait(stub, cache):
    assert cache.get(BAR).topic == "t1"
    wait_for_a_poll(stub)
    time.sleep(1.5)
    [poll] = polls(stub)
    assert poll.headers["If-None-Match"] == cache.peek(BAR).etag
    assert poll.status == 304
    assert len(stub.requests) == 2


def test_a_service_without_etags_is_not_polled(stub, cache):
    stub.etag = False
    cache.get(BAR)
    time.sleep(0.5)
    assert len(stub.requests) == 1


def test_an_etag_that_is_never_the_same(stub, cache):
    stub.put(BAR, topic="t1", connection=CONNECTION, generation=1)
    answer = stub.answer

    def changing(query, authorization):
        status, body = answer(query, authorization)
        return status, body | {"at": time.monotonic()}

    stub.answer = changing
    began = time.monotonic()
    cache.get(BAR)
    wait_for_a_poll(stub)
    time.sleep(2)
    polled, asked = len(polls(stub)), len(stub.requests)
    took = time.monotonic() - began
    assert polled <= 2 * took
    assert asked <= 4.5 * took


@pytest.mark.parametrize(
    "fault", [Fault.HANG, Fault.DROP_MID_BODY, Fault.STATUS_503, Fault.HUGE_DECLARED]
)
def test_faults_change_nothing_for_who_has_a_route(stub, cache, fault):
    cache.get(BAR)
    stub.fault = fault
    time.sleep(0.7)
    assert len(stub.requests) <= 4
    assert cache.get(BAR).topic == "t1"
    assert cache.state(BAR).status == "fresh"


def test_a_question_of_the_application_does_not_wait_for_a_poll(stub, cache):
    cache.get(BAR)
    stub.fault = Fault.HANG
    cache.refresh(BAR)  # makes nobody wait
    stub.fault = None
    stub.put(BAR, topic="t2", connection=CONNECTION)
    cache.invalidate(BAR)
    started = time.monotonic()
    assert cache.get(BAR).topic == "t2"
    assert time.monotonic() - started < 1
