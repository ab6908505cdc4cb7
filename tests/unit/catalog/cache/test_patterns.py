"""Pattern channels: what an answer says of them, and what a cache makes of it."""

import pytest

from kafkaroute import ChannelInvalid, ChannelNotFound, Consumer, Producer, resolve
from kafkaroute.catalog.answer import answer_from_route, route_from_answer
from kafkaroute.channel import Channel
from kafkaroute.errors import CatalogAnswerInvalid, CatalogUnavailable, RouteRejected
from kafkaroute.policy import Policy
from kafkaroute.testing.scripted_catalog import route_to

from .route_cache_bench import MAX_STALE, TTL, Bench

ALL = "kafka://example.com/orders/*"
ONE, TWO, THREE = (f"kafka://example.com/orders/{name}" for name in ("one", "two", "three"))
PLACE = {"connection": {"bootstrap.servers": "b1:9092"}}


def answer(*channels, **more):
    routes = {name: {**PLACE, "topic": name.rpartition("/")[2]} for name in channels}
    return {**PLACE, "channel_mapping": {}, "routes": routes} | more


def pattern(*channels, **more):
    return route_from_answer(Channel.parse(ALL), answer(*channels), **more)


# The answer.


def test_each_route_belongs_to_a_channel_of_its_own():
    found = pattern(ONE, TWO, max_age=5.0, etag='"e"')
    assert found.members.keys() == {ONE, TWO}
    assert found.members[TWO].topic == "two"
    assert found.members[TWO].channel == TWO
    assert (found.members[TWO].max_age, found.members[TWO].etag) == (5.0, None)
    assert found == pattern(TWO, ONE)
    assert found != pattern(ONE)


def test_a_mapping_names_channels_but_not_their_cluster():
    whole = {**PLACE, "channel_mapping": {"one": "c0t1", "two": "c0t2"}}
    assert route_from_answer(Channel.parse(ALL), whole).members == {ONE: None, TWO: None}
    both = answer(ONE, channel_mapping={"one": "one", "two": "two"})
    found = route_from_answer(Channel.parse(ALL), both).members
    assert found[ONE].topic == "one"
    assert found[TWO] is None


@pytest.mark.parametrize("mapping", [{}, {"*": "everything"}, None])
def test_a_service_that_takes_the_star_for_a_name_is_not_misread(mapping):
    with pytest.raises(ChannelNotFound, match="patterns"):
        route_from_answer(Channel.parse(ALL), {**PLACE, "channel_mapping": mapping})


def test_a_pattern_may_stand_for_nothing_yet():
    assert pattern().members == {}


@pytest.mark.parametrize(
    "name",
    [
        "kafka://example.org/orders/one",
        "kafka://example.com/bills/one",
        "kafka://example.com/orders/deep/one",
        "kafka://example.com/orders/*",
        "nonsense",
    ],
)
def test_what_is_not_under_the_pattern_makes_the_answer_invalid(name):
    with pytest.raises(CatalogAnswerInvalid):
        route_from_answer(Channel.parse(ALL), answer(ONE, name))


def test_one_bad_route_does_not_cost_the_others_theirs():
    whole = answer(ONE, TWO)
    whole["routes"][TWO]["connection"] = {}
    found = route_from_answer(Channel.parse(ALL), whole).members
    assert found[ONE].topic == "one"
    assert found[TWO] is None


def test_it_goes_through_the_snapshots_form():
    whole = answer(ONE, TWO, channel_mapping={"three": "x"})
    found = route_from_answer(Channel.parse(ALL), whole)
    assert route_from_answer(Channel.parse(ALL), answer_from_route(found)) == found


def test_people_see_no_secrets_of_it():
    whole = answer(ONE)
    whole["routes"][ONE]["credentials"] = {"sasl.password": "hush"}
    found = route_from_answer(Channel.parse(ALL), whole)
    assert "hush" not in repr(found)
    assert found.masked()["members"][ONE]["credentials"] == {"sasl.password": "***"}


# The cache.


def asked(bench):
    return {one.channel.uri for one in bench.catalog.questions}


@pytest.fixture
def bench():
    made = Bench()
    made.catalog.script[ALL] = pattern(ONE, TWO)
    yield made
    made.cache.close()


def test_one_question_a_ttl_serves_all_members(bench):
    bench.cache.get(ALL)
    assert bench.cache.get(ONE).topic == "one"
    bench.pass_time(5 * TTL)
    assert asked(bench) == {ALL}
    assert bench.cache.state(ONE).status == "fresh"


def test_a_member_that_moves_is_told_like_any_channel(bench):
    bench.cache.get(ALL)
    moved = pattern(ONE, TWO)
    members = dict(moved.members) | {TWO: route_to("elsewhere", TWO)}
    bench.catalog.script[ALL] = route_from_answer(
        Channel.parse(ALL),
        {"routes": {n: answer_from_route(r)["routes"][n] for n, r in members.items()}},
    )
    bench.pass_time(TTL)
    assert (TWO, "two", "elsewhere") in bench.changes
    assert ALL in {channel for channel, _, _ in bench.changes}
    assert ONE not in {channel for channel, _, _ in bench.changes}


def test_members_are_asked_for_by_themselves_while_the_pattern_fails(bench):
    bench.cache.get(ALL)
    bench.catalog.script[ALL] = RouteRejected("no patterns today")
    bench.catalog.script[ONE] = route_to("moved", ONE)
    bench.catalog.script[TWO] = route_to("two", TWO)
    bench.pass_time(1.5 * TTL)
    assert bench.cache.peek(ONE).topic == "moved"


def test_an_older_answer_of_the_pattern_does_not_replace_a_members_newer_one(bench):
    def slow(_question):
        # While the pattern's answer is under way, ONE moves and is asked for by itself.
        bench.clock.advance(1)
        bench.catalog.script[ONE] = route_to("newer", ONE)
        bench.cache.refresh(ONE)
        bench.refresher.run_pending()
        return pattern(ONE, TWO, THREE)

    bench.cache.get(ALL)
    bench.catalog.script[ALL] = slow
    bench.clock.advance(1)
    bench.cache.refresh(ALL)
    bench.refresher.run_pending()
    assert bench.cache.peek(THREE) is not None
    assert bench.cache.peek(ONE).topic == "newer"


def test_a_member_that_vanished_is_forgotten_unless_somebody_named_it(bench):
    bench.cache.get(ALL)
    bench.cache.get(TWO)
    bench.catalog.script[ALL] = pattern()
    bench.catalog.script[TWO] = route_to("two", TWO)
    bench.pass_time(TTL)
    assert bench.cache.peek(ONE) is None
    assert bench.cache.peek(TWO) is not None
    bench.pass_time(3 * TTL)
    assert ONE not in asked(bench)
    assert TWO in asked(bench)


def test_a_pattern_that_cannot_be_had_keeps_its_members(bench):
    bench.cache.get(ALL)
    bench.catalog.script[ALL] = CatalogUnavailable("down")
    bench.catalog.script[ONE] = bench.catalog.script[TWO] = CatalogUnavailable("down")
    bench.pass_time(MAX_STALE / 2)
    assert bench.cache.get(ALL).members.keys() == {ONE, TWO}
    assert bench.cache.get(ONE).topic == "one"


def test_the_policy_refuses_single_members():
    policy = Policy()
    made = Bench(check=policy.check)
    whole = answer(ONE, TWO)
    whole["routes"][TWO]["configuration"] = {"plugin.library.paths": "x"}
    made.catalog.script[ALL] = route_from_answer(Channel.parse(ALL), whole)
    bad = {**PLACE, "configuration": {"plugin.library.paths": "x"}}
    made.catalog.script[TWO] = route_to("two", TWO, **bad)
    made.cache.get(ALL)
    assert made.cache.peek(ONE) is not None
    assert made.cache.peek(TWO) is None
    with pytest.raises(RouteRejected):
        made.cache.get(TWO)
    made.cache.close()


# Where only one channel will do.


def test_a_producer_says_that_it_needs_one_channel(fake):
    fake.put("kafka://x/orders/one", "one")
    fake.put("kafka://x/orders/*", "-")
    with Producer(fake.settings()) as producer:
        for call in (
            lambda: producer.produce("kafka://x/orders/*", b"v"),
            lambda: producer.channel("kafka://x/orders/*").produce(b"v"),
            lambda: producer.preload(["kafka://x/orders/*"]),
            lambda: producer.preload(["kafka://x/orders/one", "kafka://x/orders/*"]),
            lambda: producer.list_topics("kafka://x/orders/*"),
        ):
            with pytest.raises(ChannelInvalid, match=r"kafka://x/orders/\* is a pattern"):
                call()


def test_questions_about_one_channel_refuse_a_pattern(fake):
    with (
        Consumer(fake.settings()) as consumer,
        pytest.raises(ChannelInvalid, match="is a pattern"),
    ):
        consumer.list_topics("kafka://x/orders/*")


def test_resolve_tells_the_members(fake):
    place = {"connection": {"bootstrap.servers": "A:1"}, "topic": "one"}
    fake.put("kafka://x/orders/*", "-", routes={"kafka://x/orders/one": place})
    found = resolve("kafka://x/orders/*", fake.settings())
    assert found.members["kafka://x/orders/one"].topic == "one"
