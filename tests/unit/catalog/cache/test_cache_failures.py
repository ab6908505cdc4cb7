"""What a failing catalog and a refused route do to the cache; nothing here sleeps."""

import logging
from itertools import pairwise

import pytest

from kafkaroute.errors import (
    CatalogAnswerInvalid,
    CatalogUnauthorized,
    CatalogUnavailable,
    ChannelInvalid,
    ChannelNotFound,
    RouteRejected,
)
from kafkaroute.policy import Policy
from kafkaroute.testing.scripted_catalog import route_to

from . import route_cache_bench
from .route_cache_bench import BAR, BAZ, DOWN, MAX_STALE, TTL, Bench

bench = route_cache_bench.bench


# --- failing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        DOWN,
        CatalogAnswerInvalid("no route"),
        CatalogUnauthorized("401"),
        ChannelNotFound("404"),
        RuntimeError("a bug in a plug-in"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failure_never_replaces_a_route_until_max_stale(bench, error):
    bench.cache.get(BAR)
    bench.catalog.script[BAR] = error
    bench.pass_time(MAX_STALE - 1)
    assert bench.cache.get(BAR).topic == "t1"
    state = bench.cache.state(BAR)
    assert state.status == "stale"
    assert state.error
    assert state.failures > 3
    bench.pass_time(2)
    assert bench.cache.state(BAR).status == "expired"
    assert bench.cache.peek(BAR) is None
    kind = type(error) if not isinstance(error, RuntimeError) else CatalogUnavailable
    with pytest.raises(kind):
        bench.cache.get(BAR)
    bench.catalog.script[BAR] = route_to("t9")
    bench.pass_time(TTL + 11)
    assert bench.cache.get(BAR).topic == "t9"
    assert bench.changes == [(BAR, "t1", "t9")]


def test_a_plugins_mistake_does_not_tell_its_text(bench):
    bench.catalog.script[BAR] = RuntimeError("password=hunter2")
    with pytest.raises(CatalogUnavailable, match="RuntimeError") as caught:
        bench.cache.get(BAR)
    assert "hunter2" not in str(caught.value)


def test_failures_back_off_up_to_the_ttl(bench):
    bench.cache.get(BAR)
    bench.catalog.script[BAR] = DOWN
    times = []
    for _ in range(12):
        bench.pass_time(bench.refresher.next_due() - bench.clock.now)
        while bench.asked == len(times) + 1:
            bench.pass_time(bench.refresher.next_due() - bench.clock.now)
        times.append(bench.clock.now)
    pauses = [round(later - earlier, 3) for earlier, later in pairwise(times)]
    # 2, 4, 8, … and at most the TTL, less the quarter that chance takes off here.
    assert pauses == [1.5, 3.0, 6.0, 12.0, 24.0, 48.0, 75.0, 75.0, 75.0, 75.0, 75.0]


def test_backoff_is_spread():
    bench = Bench(rng=lambda: 0.999)
    bench.cache.get(BAR)
    bench.catalog.script[BAR] = DOWN
    bench.pass_time(95)
    assert bench.refresher.next_due() - bench.clock.now < 1.1


def test_retry_after_is_honoured_up_to_the_ttl(bench):
    bench.cache.get(BAR)
    error = CatalogUnavailable("429")
    error.retry_after = 50.0
    bench.catalog.script[BAR] = error
    bench.pass_time(86)
    assert bench.asked == 2
    bench.pass_time(48)
    assert bench.asked == 2
    bench.pass_time(3)
    assert bench.asked == 3


def test_recovery_by_itself(bench):
    bench.cache.get(BAR)
    bench.catalog.script[BAR] = DOWN
    bench.pass_time(90)
    bench.catalog.script[BAR] = route_to("t2")
    bench.pass_time(8)
    assert bench.cache.get(BAR).topic == "t2"
    assert bench.cache.state(BAR).error is None


def test_one_log_line_when_it_goes_down_and_one_when_it_is_back(bench, caplog):
    caplog.set_level(logging.DEBUG, "kafkaroute")
    channels = [f"kafka://example.com/c{number}" for number in range(50)]
    for channel in channels:
        bench.catalog.script[channel] = route_to("t", channel)
        bench.cache.get(channel)
    for channel in channels:
        bench.catalog.script[channel] = DOWN
    bench.pass_time(500)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    for channel in channels:
        bench.catalog.script[channel] = route_to("t", channel)
    bench.pass_time(200)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert all(bench.cache.state(channel).status == "fresh" for channel in channels)


def test_a_channel_of_its_own_trouble_does_not_flap_in_the_log(bench, caplog):
    caplog.set_level(logging.INFO, "kafkaroute")
    bench.catalog.script[BAZ] = route_to("t", BAZ)
    bench.cache.get(BAR)
    bench.cache.get(BAZ)
    bench.catalog.script[BAZ] = DOWN
    bench.pass_time(900)
    assert len(caplog.records) == 1
    assert bench.cache.state(BAR).status == "fresh"


def test_a_catalog_that_is_down_is_asked_by_one_channel_at_a_time(bench):
    channels = [f"kafka://example.com/c{number}" for number in range(500)]
    for channel in channels:
        bench.catalog.script[channel] = route_to("t", channel)
        bench.cache.get(channel)
    for channel in channels:
        bench.catalog.script[channel] = DOWN
    before = bench.asked
    bench.pass_time(TTL * 5)
    assert bench.asked - before < 25
    assert all(bench.cache.get(channel).topic == "t" for channel in channels)
    for channel in channels:
        bench.catalog.script[channel] = route_to("u", channel)
    bench.pass_time(TTL + 10)
    assert all(bench.cache.get(channel).topic == "u" for channel in channels)


def test_once_the_catalog_is_back_all_that_failed_recover_soon(bench):
    channels = [f"kafka://example.com/c{number}" for number in range(3)]
    for channel in channels:
        bench.catalog.script[channel] = route_to("t", channel)
        bench.cache.get(channel)
    for channel in channels:
        bench.catalog.script[channel] = DOWN
    bench.pass_time(600)
    before = bench.cache.state(channels[2]).failures
    while bench.cache.state(channels[2]).failures == before:
        bench.pass_time(0.5)
    assert bench.cache.state(channels[2]).next_refresh > 20  # by itself it would wait that long
    for channel in channels:
        bench.catalog.script[channel] = route_to("u", channel)
    bench.cache.refresh(channels[0])
    bench.pass_time(2.5)
    assert [bench.cache.get(channel).topic for channel in channels] == ["u"] * 3


def test_revoked_access_is_told_to_who_wants_to_know(bench, caplog):
    bench.cache.get(BAR)
    bench.catalog.script[BAR] = CatalogUnauthorized("catalog refused the caller (401)")
    bench.pass_time(200)
    bench.catalog.script[BAR] = ChannelNotFound("catalog knows no place")
    bench.pass_time(200)
    bench.catalog.script[BAR] = route_to("t1")
    bench.pass_time(200)
    assert bench.errors == [
        (BAR, "t1", CatalogUnauthorized),
        (BAR, "t1", ChannelNotFound),
        (BAR, "t1", type(None)),
    ]
    assert bench.changes == []


def test_unwatch_errors(bench):
    heard = []
    listener = lambda *what: heard.append(what)  # noqa: E731
    bench.cache.watch_errors(listener)
    bench.cache.unwatch_errors(listener)
    bench.cache.get(BAR)
    bench.catalog.script[BAR] = DOWN
    bench.pass_time(100)
    assert heard == []
    assert len(bench.errors) == 1


# --- the policy ---------------------------------------------------------------------------------


def test_a_rejected_route_never_replaces_a_good_one():
    bench = Bench(check=Policy().check)
    bench.cache.get(BAR)
    bench.catalog.script[BAR] = route_to("evil", configuration={"plugin.library.paths": "x"})
    bench.pass_time(500)
    assert bench.cache.get(BAR).topic == "t1"
    assert "plugin.library.paths" in bench.cache.state(BAR).error
    assert bench.errors == [(BAR, "t1", RouteRejected)]


def test_a_rejected_first_route_is_an_error_and_kept_for_a_moment():
    bench = Bench(check=Policy().check)
    bench.catalog.script[BAR] = route_to("evil", configuration={"plugin.library.paths": "x"})
    for _ in range(5):
        with pytest.raises(RouteRejected, match=r"plugin\.library\.paths"):
            bench.cache.get(BAR)
    assert bench.asked == 1
    bench.clock.advance(1.1)
    bench.catalog.script[BAR] = route_to("good")
    assert bench.cache.get(BAR).topic == "good"


def test_a_profile_that_undoes_the_login_is_told_once(bench, caplog):
    for channel in (BAR, BAZ):
        bench.catalog.script[channel] = route_to(
            "t",
            channel,
            credentials={"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"},
            configuration={"security.protocol": "SSL", "sasl.mechanisms": "PLAIN"},
        )
        bench.cache.get(channel)
    bench.pass_time(300)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "security.protocol" in caplog.text
    assert "SSL" not in caplog.text.replace("security.protocol", "")
    assert "sasl.mechanisms" not in caplog.text  # equal: nothing is undone


# --- errors kept --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "life"),
    [
        (DOWN, 1.0),
        (CatalogAnswerInvalid("x"), 1.0),
        (ChannelNotFound("x"), 10.0),
        (CatalogUnauthorized("x"), 10.0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_unknown_channels_are_kept_shortly(bench, error, life):
    bench.catalog.script[BAR] = error
    for _ in range(10):
        with pytest.raises(type(error)):
            bench.cache.get(BAR)
    assert bench.asked == 1
    assert bench.cache.state(BAR).status == "absent"
    assert bench.cache.state(BAR).error == str(error)
    bench.clock.advance(life - 0.1)
    with pytest.raises(type(error)):
        bench.cache.get(BAR)
    assert bench.asked == 1
    bench.clock.advance(0.2)
    bench.catalog.script[BAR] = route_to("t1")
    assert bench.cache.get(BAR).topic == "t1"


def test_not_found_is_not_kept_longer_than_the_ttl():
    bench = Bench(ttl=3.0)
    with pytest.raises(ChannelNotFound):
        bench.cache.get(BAZ)
    bench.clock.advance(3.1)
    bench.catalog.script[BAZ] = route_to("t", BAZ)
    assert bench.cache.get(BAZ).topic == "t"


def test_raised_errors_do_not_pile_up_tracebacks(bench):
    bench.catalog.script[BAR] = DOWN
    caught = []
    for _ in range(3):
        with pytest.raises(CatalogUnavailable) as info:
            bench.cache.get(BAR)
        caught.append(info.value)
    assert len({id(error) for error in caught}) == 3
    assert DOWN.__traceback__ is None


def test_endless_unknown_channels_do_not_fill_memory(bench):
    for number in range(5000):
        with pytest.raises(ChannelNotFound):
            bench.cache.get(f"kafka://example.com/x{number}")
    assert len(bench.cache._errors._errors) <= 1024


def test_what_is_no_channel_is_told_without_asking(bench):
    with pytest.raises(ChannelInvalid):
        bench.cache.get("orders")
    assert bench.asked == 0
