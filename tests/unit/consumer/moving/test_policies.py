"""When the new place may be read: the two policies that ``on_move`` names."""

from types import SimpleNamespace

import pytest

from kafkaroute.consumer.moving.leaving import Outcome
from kafkaroute.consumer.moving.policies import move_policy


@pytest.mark.parametrize(
    ("now", "outcome", "may"),
    [(9.9, Outcome.DRAINED, False), (10.0, None, False), (10.0, Outcome.UNREAD, True)],
)
def test_ordered_waits_for_the_window_and_for_the_group(now, outcome, may):
    policy = move_policy("ordered")
    assert policy.holds
    assert policy.may_read(SimpleNamespace(since=10.0, outcome=outcome), now) is may


def test_overlap_waits_for_nothing():
    policy = move_policy("overlap")
    assert not policy.holds
    assert policy.may_read(SimpleNamespace(since=10.0, outcome=None), 0.0, partition=3)
