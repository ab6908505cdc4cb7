"""The cache's life cycle on a clock that the test moves; nothing here sleeps."""

import gc
import logging
import tracemalloc
from itertools import pairwise

import pytest

from kafkaroute.catalog.cache import RouteCache
from kafkaroute.catalog.refresher import Refresher
from kafkaroute.errors import (
    CatalogAnswerInvalid,
    CatalogUnauthorized,
    CatalogUnavailable,
    ChannelInvalid,
    ChannelNotFound,
    ClosedError,
    RouteRejected,
)
from kafkaroute.policy import Policy
from kafkaroute.testing.scripted_catalog import FakeClock, ScriptedCatalog, route_to

BAR = "kafka://example.com/bar"
BAZ = "kafka://example.com/baz"
TTL, MAX_STALE = 100.0, 1000.0
DOWN = CatalogUnavailable("catalog http://c cannot be reached: Connection refused")


class Bench:
    """A cache, its catalog and its clock."""

    def __init__(self, rng=lambda: 0.5, **arguments):
        self.clock = FakeClock()
        self.refresher = Refresher(self.clock, threads=False)
        self.catalog = ScriptedCatalog({BAR: route_to("t1")})
        self.changes = []
        self.errors = []
        arguments = {"ttl": TTL, "max_stale": MAX_STALE} | arguments
        self.cache = RouteCache(
            self.catalog,
            intent="produce",
            clock=self.clock,
            rng=rng,
            refresher=self.refresher,
            **arguments,
        )
        self.cache.watch(
            lambda channel, old, new: self.changes.append((channel, old.topic, new.topic))
        )
        self.cache.watch_errors(
            lambda channel, route, error: self.errors.append((channel, route.topic, type(error)))
        )

    def pass_time(self, seconds):
        """In steps to each due time, as the real thread would."""
        end = self.clock.now + seconds
        while (due := self.refresher.next_due()) is not None and due <= end:
            self.clock.now = max(self.clock.now, due)
            self.refresher.run_pending()
        self.clock.now = end

    @property
    def asked(self):
        return len(self.catalog.questions)


@pytest.fixture
def bench():
    return Bench()


# --- fresh --------------------------------------------------------------------------------------


def test_the_first_get_asks_and_later_ones_do_not(bench):
    assert bench.cache.get(BAR).topic == "t1"
    for _ in range(1000):
        bench.cache.get(BAR)
    assert bench.asked == 1
    question = bench.catalog.questions[0]
    assert (question.channel.uri, question.intent, question.etag) == (BAR, "produce", None)


def test_peek_asks_nobody(bench):
    assert bench.cache.peek(BAR) is None
    bench.cache.get(BAR)
    assert bench.cache.peek(BAR).topic == "t1"
    assert bench.asked == 1


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.75), (0.5, 0.85), (0.999, 0.95)])
def test_refresh_comes_before_the_ttl_is_over_and_is_spread(chance, share):
    bench = Bench(rng=lambda: chance)
    bench.cache.get(BAR)
    bench.pass_time(TTL * share - 0.5)
    assert bench.asked == 1
    bench.pass_time(1)
    assert bench.asked == 2


def test_one_question_for_each_ttl(bench):
    bench.cache.get(BAR)
    bench.pass_time(85 * 20 + 1)
    assert bench.asked == 21
    assert bench.changes == []


def test_a_new_route_replaces_the_old_and_listeners_hear_it_once(bench):
    old = bench.cache.get(BAR)
    bench.catalog.script[BAR] = route_to("t2")
    bench.pass_time(84)
    assert bench.cache.get(BAR) is old
    bench.pass_time(2)
    assert bench.cache.get(BAR).topic == "t2"
    bench.pass_time(300)
    assert bench.changes == [(BAR, "t1", "t2")]


def test_an_equal_answer_changes_nothing_not_even_the_object(bench):
    old = bench.cache.get(BAR)
    bench.catalog.script[BAR] = route_to("t1")
    bench.pass_time(300)
    assert bench.cache.get(BAR) is old
    assert bench.changes == []


def test_unwatch(bench):
    seen = []
    listener = lambda *change: seen.append(change)  # noqa: E731
    bench.cache.watch(listener)
    bench.cache.unwatch(listener)
    bench.cache.get(BAR)
    bench.catalog.script[BAR] = route_to("t2")
    bench.pass_time(100)
    assert seen == []
    assert bench.changes


def test_a_listener_that_fails_harms_nobody(bench, caplog):
    def broken(*_):
        raise RuntimeError("listener")

    bench.cache.unwatch(broken)  # unknown: nothing happens
    bench.cache.watch(broken)
    heard = []
    bench.cache.watch(lambda *change: heard.append(change))
    bench.cache.get(BAR)
    bench.catalog.script[BAR] = route_to("t2")
    bench.pass_time(100)
    assert len(heard) == 1
    assert "a listener of the route cache failed" in caplog.text
    assert bench.cache.get(BAR).topic == "t2"


def test_a_listener_may_use_the_cache(bench):
    seen = []
    bench.cache.watch(lambda channel, old, new: seen.append(bench.cache.get(channel).topic))
    bench.cache.get(BAR)
    bench.catalog.script[BAR] = route_to("t2")
    bench.pass_time(100)
    assert seen == ["t2"]


# --- what the answer says -----------------------------------------------------------------------


def test_max_age_overrides_the_ttl(bench):
    bench.catalog.script[BAR] = route_to("t1", max_age=10.0)
    bench.cache.get(BAR)
    bench.pass_time(86)
    assert bench.asked == 11


def test_max_age_zero_does_not_make_a_storm(bench):
    bench.catalog.script[BAR] = route_to("t1", max_age=0.0)
    bench.cache.get(BAR)
    bench.pass_time(10)
    assert 10 <= bench.asked <= 15


def test_stale_if_error_overrides_max_stale(bench):
    bench.catalog.script[BAR] = route_to("t1", stale_if_error=150.0)
    bench.cache.get(BAR)
    bench.catalog.script[BAR] = DOWN
    bench.pass_time(149)
    assert bench.cache.get(BAR).topic == "t1"
    bench.pass_time(2)
    with pytest.raises(CatalogUnavailable):
        bench.cache.get(BAR)


def test_the_etag_is_sent_and_unchanged_is_a_confirmation(bench):
    bench.catalog.script[BAR] = route_to("t1", etag='"1"')
    route = bench.cache.get(BAR)
    bench.catalog.script[BAR] = None
    bench.pass_time(5000)
    assert {question.etag for question in bench.catalog.questions[1:]} == {'"1"'}
    assert bench.cache.get(BAR) is route
    assert bench.cache.state(BAR).status == "fresh"


def test_a_new_etag_of_an_equal_route_is_used(bench):
    bench.catalog.script[BAR] = route_to("t1", etag='"1"')
    bench.cache.get(BAR)
    bench.catalog.script[BAR] = route_to("t1", etag='"2"')
    bench.pass_time(86)
    bench.pass_time(86)
    assert bench.catalog.questions[-1].etag == '"2"'
    assert bench.changes == []


def test_unchanged_without_a_route_is_no_answer(bench):
    bench.catalog.script[BAR] = None
    with pytest.raises(CatalogAnswerInvalid):
        bench.cache.get(BAR)


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


# --- on demand ----------------------------------------------------------------------------------


def test_refresh_asks_now_in_the_background(bench):
    bench.cache.get(BAR)
    bench.catalog.script[BAR] = route_to("t2")
    for _ in range(100):
        bench.cache.refresh(BAR)
    assert bench.asked == 1
    assert bench.cache.get(BAR).topic == "t1"
    bench.refresher.run_pending()
    assert bench.cache.get(BAR).topic == "t2"
    assert bench.asked == 2


def test_refresh_does_not_wait_for_a_pause_to_end(bench):
    bench.cache.get(BAR)
    bench.catalog.script[BAR] = DOWN
    bench.pass_time(500)
    bench.catalog.script[BAR] = route_to("t2")
    bench.cache.refresh(BAR)
    bench.refresher.run_pending()
    assert bench.cache.get(BAR).topic == "t2"


def test_refresh_of_an_unknown_channel_does_nothing(bench):
    bench.cache.refresh(BAZ)
    bench.refresher.run_pending()
    assert bench.asked == 0


def test_invalidate_makes_the_next_get_ask(bench):
    bench.cache.get(BAR)
    bench.catalog.script[BAR] = route_to("t2")
    bench.cache.invalidate(BAR)
    assert bench.cache.peek(BAR) is None
    assert bench.cache.get(BAR).topic == "t2"
    assert bench.changes == [(BAR, "t1", "t2")]


def test_invalidated_and_the_catalog_down_is_an_error(bench):
    bench.cache.get(BAR)
    bench.cache.invalidate(BAR)
    bench.catalog.script[BAR] = DOWN
    with pytest.raises(CatalogUnavailable):
        bench.cache.get(BAR)


def test_a_question_older_than_an_invalidation_does_not_count(bench):
    bench.cache.get(BAR)

    def answer(question):
        bench.catalog.script[BAR] = route_to("t2")
        bench.cache.invalidate(BAR)
        return route_to("t1")

    bench.catalog.script[BAR] = answer
    bench.cache.refresh(BAR)
    bench.refresher.run_pending()
    assert bench.cache.get(BAR).topic == "t2"


def test_an_outdated_answer_is_not_served_to_later_callers(bench):
    def answer(question):
        bench.cache.invalidate(BAR)
        return route_to("t1")

    bench.catalog.script[BAR] = answer
    bench.cache.get(BAR)
    assert bench.cache.peek(BAR) is None
    bench.catalog.script[BAR] = route_to("t2")
    assert bench.cache.get(BAR).topic == "t2"


def test_refresh_during_a_question_asks_once_more(bench):
    bench.cache.get(BAR)

    def answer(question):
        bench.catalog.script[BAR] = route_to("t2")
        bench.cache.refresh(BAR)
        return route_to("t1")

    bench.catalog.script[BAR] = answer
    bench.cache.refresh(BAR)
    bench.refresher.run_pending()
    assert bench.cache.get(BAR).topic == "t2"
    assert bench.asked == 3


def test_forget_stops_asking(bench):
    bench.cache.get(BAR)
    bench.cache.forget(BAR)
    bench.pass_time(1000)
    assert bench.asked == 1
    assert bench.cache.state(BAR).status == "absent"


def test_forgotten_during_a_question_stays_forgotten(bench):
    def answer(question):
        bench.cache.forget(BAR)
        return route_to("t1")

    bench.catalog.script[BAR] = answer
    assert bench.cache.get(BAR).topic == "t1"
    assert bench.cache.peek(BAR) is None
    bench.pass_time(1000)
    assert bench.asked == 1


def test_state_tells_people_how_it_stands(bench):
    bench.cache.get(BAR)
    bench.clock.advance(10)
    state = bench.cache.state(BAR)
    assert (state.status, state.age, state.ttl, state.max_stale) == ("fresh", 10, TTL, MAX_STALE)
    assert state.next_refresh == pytest.approx(75)
    assert state.error is None
    assert bench.cache.state(BAZ).status == "absent"


# --- end of life --------------------------------------------------------------------------------


def test_close_ends_everything(bench):
    bench.cache.get(BAR)
    bench.cache.close()
    bench.cache.close()
    assert bench.catalog.closed
    assert bench.refresher.next_due() is None
    with pytest.raises(ClosedError):
        bench.cache.get(BAR)


def test_an_answer_after_close_plans_nothing(bench):
    def answer(question):
        bench.cache.close()
        return route_to("t1")

    bench.catalog.script[BAR] = answer
    assert bench.cache.get(BAR).topic == "t1"
    assert bench.refresher.next_due() is None


def test_a_dropped_cache_is_not_kept_alive_by_its_schedule(bench):
    bench.cache.get(BAR)
    bench.cache = None
    gc.collect()
    bench.pass_time(1000)
    assert bench.asked == 1


# --- scale --------------------------------------------------------------------------------------


def test_memory_of_an_idle_channel():
    """At most 1 KB, with the tables of settings shared."""
    bench = Bench()
    count = 5000
    channels = [f"kafka://example.com/orders/{number:06d}" for number in range(count)]

    def answer(question):
        return route_to(
            f"topic-{question.channel.key}",
            question.channel.uri,
            credentials={
                "sasl.username": "u",
                "sasl.password": "p",
                "security.protocol": "SASL_SSL",
            },
            configuration={f"setting.{number}": number for number in range(20)},
        )

    bench.catalog.script = dict.fromkeys(channels, answer)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for channel in channels:
        bench.cache.get(channel)
        bench.catalog.questions.clear()
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert (after - before) / count < 1024


def test_equal_tables_are_kept_once_and_unused_ones_dropped(bench):
    for number in range(600):
        bench.catalog.script[BAR] = route_to("t", credentials={"sasl.password": f"p{number}"})
        bench.catalog.script[BAZ] = route_to("t", BAZ, credentials={"sasl.password": f"p{number}"})
        bench.cache.invalidate(BAR)
        bench.cache.invalidate(BAZ)
        assert bench.cache.get(BAR).credentials is bench.cache.get(BAZ).credentials
    assert len(bench.cache._interner._tables) < 300


def test_interning_keeps_types_apart(bench):
    bench.catalog.script[BAR] = route_to("t", configuration={"acks": 1})
    bench.catalog.script[BAZ] = route_to("t", BAZ, configuration={"acks": True})
    assert bench.cache.get(BAR).configuration["acks"] is not True
    assert bench.cache.get(BAZ).configuration["acks"] is True
