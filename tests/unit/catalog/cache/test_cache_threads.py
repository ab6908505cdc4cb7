"""The cache with real threads, a real clock and forks: small, bounded, no long sleeps."""

import os
import threading
import time

import pytest

from kafkaroute.catalog.cache.cache import RouteCache
from kafkaroute.catalog.cache.refresher import Refresher, shared_refresher
from kafkaroute.errors import CatalogUnavailable, ChannelNotFound
from kafkaroute.testing.scripted_catalog import ScriptedCatalog, route_to

BAR = "kafka://example.com/bar"


def wait_for(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def opened():
    caches = []

    def open_one(script, **arguments):
        catalog = ScriptedCatalog(script)
        cache = RouteCache(catalog, **arguments)
        caches.append(cache)
        return cache, catalog

    yield open_one
    for cache in caches:
        cache.close()


def test_threads_that_want_one_channel_share_one_question(opened):
    gate = threading.Event()

    def answer(question):
        assert gate.wait(5)
        return route_to("t1")

    cache, catalog = opened({BAR: answer})
    got = []
    threads = [threading.Thread(target=lambda: got.append(cache.get(BAR))) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(catalog.questions) == 1)
    gate.set()
    for thread in threads:
        thread.join(5)
    assert len(got) == 8
    assert len({id(route) for route in got}) == 1
    assert len(catalog.questions) == 1


def test_threads_share_a_failure_too(opened):
    gate = threading.Event()

    def answer(question):
        assert gate.wait(5)
        raise ChannelNotFound("not here")

    cache, catalog = opened({BAR: answer})
    failures = []

    def ask():
        try:
            cache.get(BAR)
        except ChannelNotFound as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(catalog.questions) == 1)
    gate.set()
    for thread in threads:
        thread.join(5)
    assert len({id(error) for error in failures}) == 4
    assert len(catalog.questions) == 1


def test_nobody_waits_longer_than_the_timeout_for_anothers_question(opened):
    gate = threading.Event()

    def answer(question):
        gate.wait(5)
        return route_to("t1")

    cache, catalog = opened({BAR: answer}, timeout=0.2)
    leader = threading.Thread(target=lambda: cache.get(BAR))
    leader.start()
    wait_for(lambda: len(catalog.questions) == 1)
    started = time.monotonic()
    with pytest.raises(CatalogUnavailable, match="another thread"):
        cache.get(BAR)
    assert 0.15 < time.monotonic() - started < 3
    gate.set()
    leader.join(5)
    assert cache.get(BAR).topic == "t1"


def test_an_interrupted_question_frees_those_who_wait(opened):
    gate = threading.Event()

    def answer(question):
        gate.wait(5)
        raise KeyboardInterrupt

    cache, catalog = opened({BAR: answer})
    interrupted = []

    def lead():
        try:
            cache.get(BAR)
        except KeyboardInterrupt:
            interrupted.append(True)

    leader = threading.Thread(target=lead)
    leader.start()
    wait_for(lambda: len(catalog.questions) == 1)
    threading.Timer(0.1, gate.set).start()
    with pytest.raises(CatalogUnavailable, match="interrupted"):
        cache.get(BAR)
    leader.join(5)
    assert interrupted == [True]


def test_a_cached_channel_never_waits_for_a_hanging_catalog(opened):
    gate = threading.Event()
    cache, catalog = opened({BAR: route_to("t1")}, ttl=1.0)
    cache.get(BAR)

    def hang(question):
        gate.wait(5)
        return route_to("t2")

    catalog.script[BAR] = hang
    wait_for(lambda: len(catalog.questions) == 2)
    slowest = 0.0
    for _ in range(2000):
        started = time.perf_counter()
        assert cache.get(BAR).topic == "t1"
        slowest = max(slowest, time.perf_counter() - started)
    assert slowest < 0.5
    gate.set()
    wait_for(lambda: cache.get(BAR).topic == "t2")


def test_one_hanging_catalog_does_not_starve_another(opened):
    gate = threading.Event()
    channels = [f"kafka://example.com/c{number}" for number in range(40)]
    hanging, bad = opened({name: route_to("t", name) for name in channels}, ttl=1.0)
    healthy, good = opened({BAR: route_to("t1")}, ttl=1.0)
    hanging.preload(channels)
    healthy.get(BAR)
    for name in channels:
        bad.script[name] = lambda question: gate.wait(10) and None
    before = len(good.questions)
    wait_for(lambda: len(good.questions) >= before + 3, 8)
    gate.set()


def test_one_refresher_thread_for_all_caches(opened):
    caches = [opened({BAR: route_to("t1")}, ttl=60.0)[0] for _ in range(10)]
    for cache in caches:
        cache.get(BAR)
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("kafkaroute-refresher") == 1


def test_the_thread_ends_when_nothing_is_left():
    refresher = Refresher()
    cache = RouteCache(ScriptedCatalog({BAR: route_to("t1")}), refresher=refresher)
    cache.get(BAR)
    assert refresher.running()
    cache.close()
    wait_for(lambda: not refresher.running())
    # And starts again when there is something.
    again = RouteCache(ScriptedCatalog({BAR: route_to("t1")}), refresher=refresher)
    again.get(BAR)
    assert refresher.running()
    again.close()


def test_preload_asks_in_parallel_and_returns_failures_as_values(opened):
    at_once = threading.Barrier(4, timeout=5)
    channels = [f"kafka://example.com/c{number}" for number in range(4)]

    def answer(question):
        at_once.wait()
        return route_to("t", question.channel.uri)

    cache, catalog = opened(dict.fromkeys(channels, answer))
    result = cache.preload([*channels, "kafka://example.com/missing", "no channel", channels[0]])
    assert [result[name].topic for name in channels] == ["t"] * 4
    assert isinstance(result["kafka://example.com/missing"], ChannelNotFound)
    assert isinstance(result["no channel"], ValueError)
    assert list(result) == [*channels, "kafka://example.com/missing", "no channel"]
    assert len(catalog.questions) == 5


def test_preload_gives_up_soon_when_the_catalog_is_down(opened):
    channels = [f"kafka://example.com/c{number}" for number in range(500)]

    def answer(question):
        time.sleep(0.05)
        raise CatalogUnavailable("timed out")

    cache, catalog = opened(dict.fromkeys(channels, answer))
    started = time.monotonic()
    result = cache.preload(channels)
    assert time.monotonic() - started < 2
    assert len(catalog.questions) <= 24
    assert len(result) == 500
    assert all(isinstance(value, CatalogUnavailable) for value in result.values())


def test_preload_of_nothing(opened):
    cache, _ = opened({})
    assert cache.preload([]) == {}


def test_a_slow_listener_holds_up_nobody_else(opened):
    gate = threading.Event()
    entered = threading.Event()
    cache, catalog = opened({BAR: route_to("t1")})
    cache.get(BAR)

    told = []

    def slow(channel, old, new):
        told.append(channel)
        entered.set()
        gate.wait(5)

    cache.watch(slow)
    catalog.script[BAR] = route_to("t2")
    cache.refresh(BAR)
    assert entered.wait(5)
    started = time.monotonic()
    assert cache.get(BAR).topic == "t2"
    catalog.script["kafka://example.com/new"] = route_to("n", "kafka://example.com/new")
    assert cache.get("kafka://example.com/new").topic == "n"
    # A change that this thread finds is told by the thread that is busy telling.
    catalog.script["kafka://example.com/new"] = route_to("m", "kafka://example.com/new")
    cache.invalidate("kafka://example.com/new")
    assert cache.get("kafka://example.com/new").topic == "m"
    assert time.monotonic() - started < 3
    gate.set()
    wait_for(lambda: len(told) == 2)
    assert told == [BAR, "kafka://example.com/new"]


def test_changes_are_told_in_order(opened):
    cache, catalog = opened({BAR: route_to("t0")})
    cache.get(BAR)
    seen = []
    cache.watch(lambda channel, old, new: seen.append((old.topic, new.topic)))
    for number in range(1, 30):
        catalog.script[BAR] = route_to(f"t{number}")
        cache.invalidate(BAR)
        cache.get(BAR)
    wait_for(lambda: len(seen) == 29)
    assert seen == [(f"t{number}", f"t{number + 1}") for number in range(29)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork with threads, 3.12+
def test_a_child_refreshes_for_itself_although_locks_were_held(opened):
    gate = threading.Event()
    other = "kafka://example.com/other"

    def hang(question):
        gate.wait(5)
        return route_to("o", other)

    cache, catalog = opened({BAR: route_to("t1"), other: hang}, ttl=1.0)
    cache.get(BAR)
    busy = threading.Thread(target=lambda: cache.get(other))
    busy.start()
    wait_for(lambda: len(catalog.questions) == 2)
    with shared_refresher()._changed, cache._lock:  # as other threads may hold them
        child = os.fork()
        if child == 0:
            status = 1
            try:
                catalog.script = {BAR: route_to("child"), other: route_to("o", other)}
                if cache.get(BAR).topic == "t1" and cache.get(other).topic == "o":
                    wait_for(lambda: cache.get(BAR).topic == "child")
                    status = 0
            finally:
                os._exit(status)
    gate.set()
    busy.join(5)
    assert os.waitpid(child, 0)[1] == 0
