"""Producers and consumers of every kind, and those that come and go."""

from __future__ import annotations

import time
from typing import Any

from kafkaroute.verify import Bounds

from ..stage import TTL, WINDOW, Stage
from .places import one_move
from .registry import CONSUMER_PAUSE, Script, bounds, scenario

_DOWN = 5.0


def _down_bounds(stage: Stage) -> Bounds:
    # Nobody reads while everybody is away.
    return bounds(consumer_pause=stage.away + CONSUMER_PAUSE)


def _down_during_move(stage: Stage, **answer: Any) -> None:
    run = stage.run
    members = [(g, n) for g, group in enumerate(run.members) for n in range(len(group))]
    stopped = time.monotonic()
    for group, number in members:
        run.stop_member(group, number)
    run.wait_until(lambda: all(run.members[g][n].done for g, n in members), 20)
    stage.move(stage.channels[0], "B", stage.topics[-1][1], "catalog: B", **answer)
    run.sleep(_DOWN)
    came = [run.start_member(group) for group, _ in members]
    run.wait_until(lambda: all(member.ready for member in came), 30)
    run.mark("consumers are back")
    stage.away = time.monotonic() - stopped
    run.sleep(TTL + WINDOW + 2)
    stage.run.sleep(stage.size.tail)


@scenario(
    "11a", "consumers down during the move, with a snapshot", snapshots=True, bounds=_down_bounds
)
def down_with_snapshot(stage: Stage) -> Script:
    stage.channel("A", stage.topic("A"))
    stage.topic("B")
    yield
    stage.lead_in()
    _down_during_move(stage)


@scenario("11b", "consumers down during the move, `previous` in the answer", bounds=_down_bounds)
def down_with_previous(stage: Stage) -> Script:
    old = stage.topic("A")
    stage.channel("A", old)
    stage.topic("B")
    yield
    stage.lead_in()
    _down_during_move(stage, previous=[stage.earlier("A", old)])


@scenario(
    "13",
    "one consumer joins, one leaves, one is killed during the move",
    load={"groups": 2, "commits": ("store",)},
)
def comings_and_goings(stage: Stage) -> Script:
    # So long the killed one's partitions are nobody's.
    stage.profiles["in"] |= {"session.timeout.ms": 3000, "heartbeat.interval.ms": 500}
    channel = stage.channel("A", stage.topic("A"))
    new = stage.topic("B")
    yield
    stage.lead_in()
    run = stage.run
    stage.move(channel, "B", new, "catalog: B")
    # One that joins before anybody of its group has held the place would be the first there.
    stage.until("held", 1, TTL + 4, run.members[0])
    run.start_member(0)
    run.mark("one joins")
    run.sleep(0.7)
    run.stop_member(len(run.members) - 1, 0)
    run.sleep(0.7)
    run.kill_member(0, 1)
    run.sleep(TTL + WINDOW + 6 + 4)
    stage.run.sleep(stage.size.tail)


@scenario(
    "14",
    "transactional producers, one transaction open; consumers read what is committed",
    load={"transaction": 1.0},
)
def transactions(stage: Stage) -> Script:
    return one_move(stage, "B")


@scenario(
    "18",
    "one group commits every 1,000 messages, one never",
    load={"groups": 2, "commits": ("1000", "never")},
    consume={"drain_timeout": 1.0},
    remark="with a `drain_timeout` of 1 s, for which the last commit is waited for",
)
def rare_commits(stage: Stage) -> Script:
    return one_move(stage, "B", extra=6)


@scenario(
    "19",
    "every member of a group restarted during the hold, with its snapshot",
    snapshots=True,
    load={"commits": ("store",)},
    bounds=_down_bounds,
)
def restarted_during_hold(stage: Stage) -> Script:
    channel = stage.channel("A", stage.topic("A"))
    new = stage.topic("B")
    yield
    stage.lead_in()
    run = stage.run
    stage.move(channel, "B", new, "catalog: B")
    members = len(run.members[0])
    run.wait_until(lambda: _held(run, 0) >= members, TTL + 4)
    stopped = time.monotonic()
    for number in range(members):
        run.stop_member(0, number)
    run.wait_until(lambda: all(run.members[0][n].done for n in range(members)), 20)
    came = [run.start_member(0) for _ in range(members)]
    run.wait_until(lambda: all(member.ready for member in came), 30)
    run.mark("group 1 is back")
    stage.away = time.monotonic() - stopped
    run.sleep(TTL + WINDOW + 6 + stage.size.tail)


def _held(run: Any, group: int) -> int:
    return sum(
        said.get("phase") == "held"
        for worker, said in list(run.news)
        if worker in run.members[group]
    )
