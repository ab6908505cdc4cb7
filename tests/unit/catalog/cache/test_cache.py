"""The cache's life cycle on a clock that the test moves; nothing here sleeps."""

import gc
import tracemalloc

import pytest

from kafkaroute.errors import (
    CatalogAnswerInvalid,
    CatalogUnavailable,
    ClosedError,
)
from kafkaroute.testing.scripted_catalog import route_to

from . import route_cache_bench
from .route_cache_bench import BAR, BAZ, DOWN, MAX_STALE, TTL, Bench

bench = route_cache_bench.bench


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
