"""When an old place counts as read, from what a scout sees: no clock but the test's."""

import pytest

from kafkaroute.consumer.moving.drainage.looks import Extent, Look
from kafkaroute.consumer.moving.leaving import Leaving, Outcome, Standing

PATIENCE, SESSION, REBALANCE = 2.0, 6.0, 60.0


class StillScout:
    """Sees the same at each look: two partitions, of which the group has read half."""

    def __init__(self):
        self.now = 0.0
        self.reported = None

    def watch(self, topic): ...

    def ask(self): ...

    def report(self, topic, positions):
        self.reported = dict(positions)

    def latest(self, topic):
        return Look(topic, self.now, partitions={n: Extent(5, 0, 10) for n in (0, 1)})


@pytest.fixture
def decided_after():
    """Until when a member that owns nothing waits for the others."""

    def seconds(settled):
        scout = StillScout()
        leaving = Leaving(scout, "orders", 0.0, PATIENCE, SESSION, REBALANCE, commits=True)
        while leaving.outcome is None and scout.now < 1000:
            scout.now += 0.5
            leaving.step(scout.now, Standing({}, settled=settled(scout.now)))
        assert leaving.outcome is Outcome.UNCOMMITTED
        assert [(one.partition, one.offset) for one in leaving.partitions] == [(0, 5), (1, 5)]
        return scout.now

    return seconds


def test_members_that_stand_still_are_waited_for_until_others_had_replaced_them(decided_after):
    assert PATIENCE + SESSION <= decided_after(lambda now: True) <= PATIENCE + SESSION + 1


def test_while_the_group_deals_out_its_partitions_nobody_is_given_up(decided_after):
    """After members were killed the group waited for two session time-outs; nobody read."""
    assert decided_after(lambda now: now > 30) >= 30
    assert decided_after(lambda now: False) >= PATIENCE + SESSION + REBALANCE


@pytest.mark.parametrize("misses", [1, 2])
def test_one_look_without_an_answer_is_no_dead_cluster(misses):
    """On a busy machine a single look may take too long."""
    scout = StillScout()
    leaving = Leaving(scout, "orders", 0.0, PATIENCE, SESSION, REBALANCE, commits=True)

    def look_at(at, error):
        look = Look("orders", at, error=error)
        scout.latest = lambda topic: look
        for step in range(4):
            leaving.step(at + 1 + step, Standing({}))

    look_at(0.0, "too slow")
    assert leaving.outcome is None
    if misses == 2:
        look_at(5.0, "too slow")
        assert leaving.outcome is Outcome.UNREAD
    else:
        scout.latest = lambda topic: Look(topic, 5.0, partitions={0: Extent(10, 0, 10, True)})
        leaving.step(6.0, Standing({}))
        assert leaving.outcome is Outcome.DRAINED


def test_members_that_cut_at_other_offsets_do_not_wait_for_each_other_for_ever():
    """Seen with A → B → A → B faster than the members leave: each had stopped before the other's
    cut, and kept the rest for its next visit."""
    scout = StillScout()
    leaving = Leaving(scout, "orders", 0.0, PATIENCE, SESSION, REBALANCE, commits=True)
    read = {0: 5, 1: 8}
    scout.latest = lambda topic: looks[-1]
    looks = []

    def step(now, own):
        looks.append(
            Look("orders", now, partitions={n: Extent(read[n], 0, int(20 + now)) for n in read})
        )
        return leaving.step(now, Standing({0: own}))

    leaving.cut_at({0: 6, 1: 9}, 1.0)
    for tenth in range(10, 60):
        assert step(tenth / 10, 5) is None  # its own partition is not read up to the cut
    read[0] = 6
    assert step(6.0, 6) is None
    assert step(PATIENCE + SESSION + 2, 6) is not None
    assert leaving.partitions == ()


def test_a_member_that_still_reads_up_to_its_cut_is_waited_for():
    scout = StillScout()
    leaving = Leaving(scout, "orders", 0.0, PATIENCE, SESSION, REBALANCE, commits=True)
    leaving.cut_at({0: 6, 1: 1000}, 1.0)
    for second in range(1, 20):
        look = Look(
            "orders", float(second), partitions={0: Extent(6, 0, 2000), 1: Extent(second, 0, 2000)}
        )
        scout.latest = lambda topic, look=look: look
        assert leaving.step(float(second), Standing({0: 6})) is None


def test_a_place_that_was_empty_when_the_window_ended_is_cut_there():
    """What was written since comes from producers that are back already."""
    scout = StillScout()
    leaving = Leaving(scout, "orders", 0.0, PATIENCE, SESSION, REBALANCE, commits=True)
    early = Look("orders", 1.0, partitions={0: Extent(7, 0, 8), 1: Extent(9, 0, 9, True)})
    scout.latest = lambda topic: early
    assert leaving.step(1.0, Standing({0: 7})) is None
    assert leaving.cut_at({0: 20, 1: 20}, 2.0) == {0: 8, 1: 9}
    later = Look("orders", 3.0, partitions={0: Extent(8, 0, 25), 1: Extent(9, 0, 25)})
    scout.latest = lambda topic: later
    assert leaving.step(3.0, Standing({0: 8})) is Outcome.DRAINED
