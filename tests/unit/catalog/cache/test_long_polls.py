"""When long polls are asked, on a clock that the test moves."""

from collections import Counter

import pytest

from kafkaroute import ConfigurationError, Settings
from kafkaroute.catalog.cache.asker import Asker
from kafkaroute.catalog.cache.cache import RouteCache
from kafkaroute.catalog.cache.health import Health
from kafkaroute.catalog.cache.long_polls import LongPolls
from kafkaroute.catalog.cache.refresher import Refresher
from kafkaroute.errors import (
    CatalogAnswerInvalid,
    CatalogUnauthorized,
    CatalogUnavailable,
    ChannelNotFound,
)
from kafkaroute.testing.scripted_catalog import FakeClock, ScriptedCatalog, route_to

BAR = "kafka://example.com/bar"
WAIT = 30.0


class Waiting(ScriptedCatalog):
    """Each poll takes `takes` seconds and then says or raises `outcome`."""

    can_wait = True

    def __init__(self, clock):
        super().__init__()
        self.clock = clock
        self.takes = WAIT
        self.outcome = False
        self.polled = []

    def wait(self, question, seconds):
        self.polled.append((self.clock.now, question, seconds))
        self.clock.advance(self.takes)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class FakeCache:
    def __init__(self):
        self.routes = {BAR: route_to("t1", etag='"1"')}
        self.refreshed = Counter()

    def peek(self, channel):
        return self.routes.get(channel)

    def refresh(self, channel):
        self.refreshed[channel] += 1


class Bench:
    def __init__(self):
        self.clock = FakeClock(0)
        self.refresher = Refresher(self.clock, threads=False)
        self.workers = Refresher(self.clock, threads=False)
        self.catalog = Waiting(self.clock)
        self.cache = FakeCache()
        asker = Asker(self.catalog, "consume", 5.0, None)
        self.polls = LongPolls(
            self.cache, asker, WAIT, self.refresher, self.clock, lambda: 0.0, self.workers
        )
        self.polls.plan(BAR)

    def pass_time(self, seconds):
        end = self.clock.now + seconds
        while (due := self.refresher.next_due()) is not None and due <= end:
            self.clock.now = max(self.clock.now, due)
            self.refresher.run_pending()
            self.workers.run_pending()
        self.clock.now = max(self.clock.now, end)

    @property
    def times(self):
        return [at for at, _, _ in self.catalog.polled]


@pytest.fixture
def bench():
    return Bench()


def test_polls_follow_one_another_while_nothing_changes(bench):
    bench.pass_time(100)
    assert bench.times == [0, 30, 60, 90]
    _, question, seconds = bench.catalog.polled[0]
    assert (question.etag, question.intent, question.timeout) == ('"1"', "consume", 5.0)
    assert seconds == WAIT
    assert not bench.cache.refreshed


def test_a_channel_is_polled_once_however_often_it_is_planned(bench):
    for _ in range(5):
        bench.polls.plan(BAR)
    bench.pass_time(29)
    assert bench.times == [0]


def test_a_change_refreshes_the_channel(bench):
    bench.catalog.takes, bench.catalog.outcome = 10, True
    bench.pass_time(9)
    assert bench.cache.refreshed == {BAR: 1}
    bench.catalog.takes, bench.catalog.outcome = WAIT, False
    bench.pass_time(30)
    assert bench.times == [0, 10.5]


@pytest.mark.parametrize(
    "outcome",
    [False, True, CatalogUnavailable("x"), CatalogAnswerInvalid("x"), OSError("a plug-in's")],
)
def test_polls_that_end_at_once_get_fewer_and_fewer(bench, outcome):
    bench.catalog.takes, bench.catalog.outcome = 0.01, outcome
    bench.pass_time(3600)
    assert len(bench.times) <= 24
    assert 290 < bench.times[-1] - bench.times[-2] < 310
    # A patient service gets its polls back.
    bench.catalog.takes, bench.catalog.outcome = WAIT, False
    bench.pass_time(3600)
    assert len(bench.times) > 100
    assert bool(bench.cache.refreshed) == (outcome is True)


@pytest.mark.parametrize("kind", [ChannelNotFound, CatalogUnauthorized])
def test_a_route_that_is_taken_away_is_a_change(bench, kind):
    bench.catalog.takes, bench.catalog.outcome = 10, kind("x")
    bench.pass_time(9)
    assert bench.cache.refreshed == {BAR: 1}


def test_an_unreachable_catalog_is_left_to_the_schedule(bench):
    health = Health("")
    bench.polls.heed(health)
    health.unavailable(0, 10)
    bench.pass_time(1000)
    assert bench.times == []
    health.available()
    bench.polls.plan(BAR)  # as each landing does
    bench.pass_time(20)
    assert bench.times == [1000]


@pytest.mark.parametrize("routes", [{}, {BAR: route_to("t1")}])
def test_without_a_route_or_an_etag_nothing_is_polled(bench, routes):
    bench.cache.routes = routes
    bench.pass_time(1000)
    assert bench.times == []
    bench.cache.routes = {BAR: route_to("t1", etag='"1"')}
    bench.polls.plan(BAR)
    bench.pass_time(20)
    assert bench.times == [1000]


def test_nothing_after_the_end(bench):
    bench.catalog.outcome = True
    bench.polls.stop()
    bench.polls.plan(BAR)
    bench.pass_time(1000)
    assert bench.times == []


def test_what_ends_during_a_poll_refreshes_nothing(bench):
    bench.catalog.outcome = True
    wait = bench.catalog.wait

    def closing(question, seconds):
        bench.polls.stop()
        return wait(question, seconds)

    bench.catalog.wait = closing
    bench.pass_time(1000)
    assert bench.times == [0]
    assert not bench.cache.refreshed


def test_a_child_begins_anew(bench):
    bench.pass_time(20)
    bench.refresher.after_fork_in_child()
    bench.polls.reset()
    bench.pass_time(100)
    assert bench.times == [0]
    bench.polls.plan(BAR)
    bench.pass_time(1)
    assert bench.times == [0, 130]


def test_catalogs_that_cannot_wait_are_not_asked_to():
    refresher = Refresher(FakeClock(0), threads=False)
    catalog = ScriptedCatalog({BAR: route_to("t1", etag='"1"')})
    catalog.wait = pytest.fail
    cache = RouteCache(catalog, refresher=refresher, clock=refresher.clock, long_poll=30)
    assert cache.get(BAR).topic == "t1"
    refresher.run_pending()
    cache.close()


@pytest.mark.parametrize("value", [0, 0.5, 3601, float("nan"), "x"])
def test_the_setting(value):
    good = Settings.from_dict({"service_gateway_uri": "http://c/", "long_poll": "30"})
    assert good.long_poll == 30.0
    assert Settings.from_dict({"service_gateway_uri": "http://c/"}).long_poll is None
    with pytest.raises(ConfigurationError, match="long_poll"):
        Settings.from_dict({"service_gateway_uri": "http://c/", "long_poll": value})
