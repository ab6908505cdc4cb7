"""How long an answer is good for: it may shorten the client's own times, and lengthen them within
bounds."""

import pytest

from kafkaroute.catalog.cache.entry import Lives
from kafkaroute.route import Route

YEAR = 31_536_000.0


def route(**more):
    return Route("kafka://example.com/x", "t", {"bootstrap.servers": "a:1"}, **more)


@pytest.mark.parametrize(
    ("own", "ttl"), [(None, 30), (5, 5), (0, 1), (600, 600), (3600, 3600), (YEAR, 3600)]
)
def test_an_answer_lengthens_the_ttl_up_to_a_bound(own, ttl):
    assert Lives(30, 86_400).ttl(route(max_age=own)) == ttl
    assert Lives(30, 86_400).refresh_after(route(max_age=own), 1.0) <= ttl


def test_a_long_ttl_of_the_application_is_its_own_business():
    lives = Lives(7200, 86_400)
    assert lives.ttl(route()) == 7200
    assert lives.ttl(route(max_age=YEAR)) == 7200


@pytest.mark.parametrize(("own", "limit"), [(None, 600), (60, 60), (YEAR, 600), (1, 30)])
def test_an_answer_only_shortens_how_long_a_route_may_be_used(own, limit):
    assert Lives(30, 600).limit(route(stale_if_error=own)) == limit


def test_the_bound_is_a_setting():
    assert Lives(30, 600, max_ttl=100).ttl(route(max_age=YEAR)) == 100


def test_no_answer_makes_a_route_usable_for_longer_than_max_stale():
    lives = Lives(30, 60)
    assert lives.limit(route(max_age=YEAR, stale_if_error=YEAR)) == 60
