"""RouteCache over HttpCatalog against the stub: what an application notices of each fault."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from kafkaroute.catalog.cache.cache import RouteCache
from kafkaroute.catalog.cache.snapshot import Snapshot
from kafkaroute.catalog.loader import open_catalog
from kafkaroute.errors import CatalogError, CatalogUnavailable
from kafkaroute.settings import Settings
from kafkaroute.testing.catalog_stub import CatalogStub, Fault

from .stalls import Stalls

BAR = "kafka://example.com/bar"
CONNECTION = {"bootstrap.servers": "b1.example.net:9092"}
SECRETS = {"sasl.username": "alice-of-kafka", "sasl.password": "hunter2-of-kafka"}


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)


def open_cache(stub, snapshot=None, **settings):
    options = Settings.from_dict(stub.settings(**({"ttl": 1.0, "timeout": 1.0} | settings)))
    return RouteCache(
        open_catalog(options),
        intent="produce",
        ttl=options.ttl,
        max_stale=options.max_stale,
        timeout=options.timeout,
        snapshot=Snapshot(snapshot) if snapshot else None,
        check=options.policy.check,
    )


@pytest.fixture
def stub():
    with CatalogStub() as stub:
        stub.put(BAR, topic="t1", connection=CONNECTION, credentials=SECRETS)
        yield stub


@pytest.fixture
def opened(stub):
    caches = []

    def open_one(snapshot=None, **settings):
        caches.append(open_cache(stub, snapshot, **settings))
        return caches[-1]

    yield open_one
    for cache in caches:
        cache.close()


def for_each_fault(scenario):
    """Run `scenario(fault, stub, cache, channel)` for all of them, some at once: each mostly waits."""

    def run(fault):
        channel = f"kafka://example.com/{fault.name.lower()}.end"
        with CatalogStub() as stub:
            stub.put(channel, topic="t1", connection=CONNECTION, credentials=SECRETS)
            cache = open_cache(stub)
            try:
                scenario(fault, stub, cache, channel)
            except Exception as error:  # told with the fault's name, below
                return f"{fault.name}: {type(error).__name__}: {error}"
            finally:
                cache.close()
        return None

    with ThreadPoolExecutor(8) as pool:
        failures = [told for told in pool.map(run, Fault) if told]
    assert failures == []


def test_past_the_ttl_the_good_route_stays_at_once_and_recovers(caplog):
    caplog.set_level(logging.DEBUG)

    def scenario(fault, stub, cache, channel):
        route = cache.get(channel)
        stub.fault = fault
        wait_for(lambda: cache.state(channel).failures > 0)
        slowest = 0.0
        with Stalls() as stalls:
            for _ in range(100):
                started = time.perf_counter()
                assert cache.get(channel) is route
                slowest = max(slowest, time.perf_counter() - started)
        assert slowest < 0.5 + stalls.seconds
        assert cache.state(channel).status == "stale"
        stub.put(channel, topic="t2", connection=CONNECTION, credentials=SECRETS)
        stub.fault = None
        wait_for(lambda: cache.get(channel).topic == "t2")
        wait_for(lambda: cache.state(channel).error is None)

        def told():
            return [
                record.levelname
                for record in caplog.records
                if record.name == "kafkaroute.catalog.cache"
                and (f":{stub.port}/" in record.getMessage() or channel in record.getMessage())
            ]

        wait_for(lambda: len(told()) == 2)
        assert told() == ["WARNING", "INFO"]

    for_each_fault(scenario)
    for secret in (*SECRETS.values(), "user:password", "dXNlcjpwYXNzd29yZA"):
        assert secret not in caplog.text


def test_at_the_start_a_clear_error_in_time_and_the_same_object_works_later():
    def scenario(fault, stub, cache, channel):
        stub.fault = fault
        started = time.monotonic()
        with Stalls() as stalls, pytest.raises(CatalogError):
            cache.get(channel)
        assert time.monotonic() - started < 1.5 + stalls.seconds
        assert cache.peek(channel) is None
        stub.fault = None

        def works():
            try:
                return cache.get(channel).topic == "t1"
            except CatalogError:
                return False

        wait_for(works)

    for_each_fault(scenario)


def test_down_at_the_start_with_a_snapshot(stub, opened, tmp_path):
    path = tmp_path / "routes.json"
    first = opened(snapshot=path)
    route = first.get(BAR)
    first.close()
    stub.fault = Fault.HANG
    second = opened(snapshot=path)
    started = time.monotonic()
    with Stalls() as stalls:
        assert second.get(BAR) == route
    assert time.monotonic() - started < 1.5 + stalls.seconds
    stub.put(BAR, topic="t2", connection=CONNECTION)
    stub.fault = None
    wait_for(lambda: second.get(BAR).topic == "t2")


def test_another_callers_snapshot_is_not_used(stub, opened, tmp_path):
    path = tmp_path / "routes.json"
    first = opened(snapshot=path)
    first.get(BAR)
    first.close()
    stub.fault = Fault.DOWN
    for settings in (
        {"basic_auth": ("other", "password")},
        {"config_profile": "other"},
        {"additional_params": {"kafka": {"env": "test"}}},
    ):
        with pytest.raises(CatalogUnavailable):
            opened(snapshot=path, **settings).get(BAR)


def test_two_channels_on_two_clusters_are_asked_for_one_by_one(stub, opened):
    """The service answers one connection for all channels of one question, and which one varies."""
    clusters = {f"kafka://example.com/c{n}": f"cluster-{n % 2}:9092" for n in range(12)}
    for channel, server in clusters.items():
        stub.put(channel, topic="t", connection={"bootstrap.servers": server})
    cache = opened()
    answers = cache.preload(clusters)
    assert {c: r.connection["bootstrap.servers"] for c, r in answers.items()} == clusters
    assert all(request.query.count("channel") == 1 for request in stub.requests)


def test_etag_saves_the_answer(stub, opened):
    stub.etag = True
    cache = opened()
    route = cache.get(BAR)
    wait_for(lambda: len(stub.requests) >= 3)
    assert {request.status for request in stub.requests[1:3]} == {304}
    assert cache.get(BAR) is route
    stub.put(BAR, topic="t2", connection=CONNECTION)
    wait_for(lambda: cache.get(BAR).topic == "t2")


def test_traffic_is_one_question_per_ttl_whatever_is_produced(stub, opened):
    cache = opened()
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        for _ in range(1000):
            cache.get(BAR)
        time.sleep(0.01)
    assert 2 <= len(stub.requests) <= 5
