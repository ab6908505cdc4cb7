"""A question for one channel's route: only an answer that came after it counts."""

import time
from types import SimpleNamespace

import pytest

from kafkaroute.catalog.cache.confirm import Question


class Cache:
    def __init__(self):
        self.age, self.failures, self.asked = 100.0, 2, []

    def state(self, _channel):
        return SimpleNamespace(age=self.age, failures=self.failures)

    def refresh(self, channel):
        self.asked.append(channel)


@pytest.fixture
def cache():
    return Cache()


def test_the_channel_is_asked_for_at_once(cache):
    Question(cache, "c")
    assert cache.asked == ["c"]


def test_an_older_answer_does_not_count(cache):
    assert Question(cache, "c").confirmed() is None


def test_a_younger_answer_confirms(cache):
    question = Question(cache, "c")
    cache.age = time.monotonic() - question.began
    assert question.confirmed() is True


def test_one_more_failure_ends_the_wait(cache):
    question = Question(cache, "c")
    cache.failures += 1
    assert question.confirmed() is False


def test_a_route_that_is_gone_is_not_confirmed(cache):
    question = Question(cache, "c")
    cache.age = None
    assert question.confirmed() is False
