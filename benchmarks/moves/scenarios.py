"""The scenarios: what happens to a channel while it is used, and what may come of it.

Each is a generator: what comes before its ``yield`` prepares, what comes after it happens under
load, and it may hand over a check of its own by ``yield``-ing once more.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from kafkaroute.testing.faults import Fault
from kafkaroute.verify import Bounds, Certificate

from .mirror import copy_history
from .stage import TTL, WINDOW, Stage

__all__ = ["SCENARIOS", "Scenario"]

Script = Generator[None, None, "Callable[[Certificate], list[str]] | None"]

#: Seconds: what a consumer's partition may be silent, and a producer.
CONSUMER_PAUSE = TTL + WINDOW + 2
PRODUCER_PAUSE = 2.0
PRODUCER_PAUSE_AFTER_REFUSAL = TTL + 5


@dataclass(frozen=True)
class Scenario:
    """One row of the table.

    Attributes:
        number: as in docs/moves.md.
        script: see the module's text.
        alone: it kills a broker or changes a user, so nothing else may run on the clusters.
        load: what it needs of the load.
        produce, consume: settings beyond the stage's.
        snapshots: the processes keep snapshots.
        remark: explains what the numbers cannot.
        bounds: what may come of it.
    """

    number: str
    title: str
    script: Callable[[Stage], Script]
    alone: bool = False
    load: dict[str, Any] = field(default_factory=dict)
    produce: dict[str, Any] = field(default_factory=dict)
    consume: dict[str, Any] = field(default_factory=dict)
    snapshots: bool = False
    remark: str = ""
    bounds: Callable[[Stage], Bounds] = lambda _stage: bounds()


SCENARIOS: dict[str, Scenario] = {}


def bounds(**changes: Any) -> Bounds:
    held: dict[str, Any] = {
        "producer_pause": PRODUCER_PAUSE,
        "consumer_pause": CONSUMER_PAUSE,
    }
    return Bounds(**{**held, **changes})


def scenario(number: str, title: str, **more: Any) -> Callable[[Any], Any]:
    def register(script: Callable[[Stage], Script]) -> Callable[[Stage], Script]:
        SCENARIOS[number] = Scenario(number, title, script, **more)
        return script

    return register


@scenario("0", "control: nothing moves", bounds=lambda _: bounds(late=0, duplicated=0))
def control(stage: Stage) -> Script:
    stage.channel("A", stage.topic("A"))
    yield
    stage.lead_in()
    stage.run.sleep(TTL + WINDOW + stage.size.tail)


@scenario("1", "topic move")
def topic_move(stage: Stage) -> Script:
    channel = stage.channel("A", stage.topic("A"))
    new = stage.topic("A")
    yield
    stage.lead_in()
    stage.move(channel, "A", new, "catalog: other topic")
    stage.settled()


@scenario("2", "cluster move")
def cluster_move(stage: Stage) -> Script:
    channel = stage.channel("A", stage.topic("A"))
    new = stage.topic("B")
    yield
    stage.lead_in()
    stage.move(channel, "B", new, "catalog: cluster B")
    stage.settled()


@scenario("3", "cluster move, same topic name")
def same_name(stage: Stage) -> Script:
    topic = stage.topic("A", "B")
    channel = stage.channel("A", topic)
    yield
    stage.lead_in()
    stage.move(channel, "B", topic, "catalog: cluster B")
    stage.settled()


def _outage_bounds(stage: Stage) -> Bounds:
    back = stage.away + 5  # its clients reconnect
    return bounds(
        reordered_late=None,
        producer_pause=PRODUCER_PAUSE_AFTER_REFUSAL,
        consumer_pause=max(CONSUMER_PAUSE, back),
    )


@scenario(
    "4",
    "cluster move, the old cluster killed at that moment and back later",
    alone=True,
    consume={"move_linger": 180.0},
    load={"quiet": 5.0, "settle": 25.0},
    bounds=_outage_bounds,
)
def killed_and_back(stage: Stage) -> Script:
    channel = stage.channel("A", stage.topic("A"))
    new = stage.topic("B")
    stage.callback(stage.clusters["A"].start)
    yield
    stage.lead_in()
    killed = time.monotonic()
    stage.clusters["A"].kill()
    stage.move(channel, "B", new, "A killed, catalog: B")
    stage.run.sleep(stage.size.outage)
    stage.clusters["A"].start()
    stage.away = time.monotonic() - killed
    stage.run.mark("A is back")
    stage.settled()


@scenario(
    "5",
    "the same, and it never comes back",
    alone=True,
    load={"settle": 6.0},
    bounds=lambda _: bounds(
        lost=None, producer_pause=PRODUCER_PAUSE_AFTER_REFUSAL, consumer_pause=WINDOW + 5 + 5
    ),
)
def killed_for_good(stage: Stage) -> Script:
    old = stage.topic("A")
    channel = stage.channel("A", old)
    new = stage.topic("B")
    stage.callback(stage.clusters["A"].start)
    yield
    stage.lead_in()
    stage.clusters["A"].kill()
    stage.move(channel, "B", new, "A killed for good, catalog: B")
    stage.settled(extra=5)

    def check(found: Certificate) -> list[str]:
        wrong = []
        for number, group in enumerate(found.groups, 1):
            elsewhere = {topic: n for topic, n in group["lost_by_topic"].items() if topic != old}
            if elsewhere:
                wrong.append(f"group {number} lost what the dead cluster did not have: {elsewhere}")
        if found.lost and not any(mark.what == "unread" for mark in found.marks):
            wrong.append(f"{found.lost} were never read, and nothing told of them")
        return wrong

    return check


@scenario(
    "6",
    "SCRAM password rotated, the old one refused",
    alone=True,
    bounds=lambda _: bounds(producer_pause=PRODUCER_PAUSE_AFTER_REFUSAL),
)
def rotation(stage: Stage) -> Script:
    topic = stage.topic("A")
    channel = stage.channel("A", topic, security="scram-sha-512")
    yield
    stage.lead_in()
    stage.clusters["A"].alter_scram_password("scram-sha-512", "rotated-" + stage.channels[0][-8:])
    stage.run.mark("password changed on the broker")
    stage.run.sleep(0.1)
    stage.move(channel, "A", topic, "catalog: new password", security="scram-sha-512")
    stage.run.sleep(TTL + 5 + stage.size.tail)


@scenario(
    "7",
    "other SASL mechanism",
    bounds=lambda _: bounds(producer_pause=PRODUCER_PAUSE_AFTER_REFUSAL),
)
def mechanism(stage: Stage) -> Script:
    topic = stage.topic("A")
    channel = stage.channel("A", topic, security="scram-sha-256")
    yield
    stage.lead_in()
    stage.move(channel, "A", topic, "catalog: PLAIN", security="plain")
    stage.run.sleep(TTL + WINDOW + stage.size.tail)


@scenario("8", "other profile: acks, linger")
def profile(stage: Stage) -> Script:
    topic = stage.topic("A")
    channel = stage.channel("A", topic)
    yield
    stage.lead_in()
    stage.profiles["out"] |= {"acks": "all", "linger.ms": 20}
    stage.profiles["in"] |= {"fetch.min.bytes": 10}
    stage.move(channel, "A", topic, "catalog: other profile")
    stage.run.sleep(TTL + WINDOW + stage.size.tail)


@scenario("9", "there and back (A → B → A)")
def there_and_back(stage: Stage) -> Script:
    home = stage.topic("A")
    channel = stage.channel("A", home)
    away = stage.topic("B")
    yield
    stage.lead_in()
    stage.move(channel, "B", away, "catalog: B")
    stage.until("left", stage.members(), TTL + WINDOW + 8)
    stage.run.sleep(1)
    stage.move(channel, "A", home, "catalog: back to A")
    stage.settled(2)


@scenario("10", "two channels of one consumer move at different times")
def two_channels(stage: Stage) -> Script:
    first = stage.channel("A", stage.topic("A"))
    second = stage.channel("A", stage.topic("A"))
    new_first, new_second = stage.topic("B"), stage.topic("A")
    yield
    stage.lead_in()
    stage.move(first, "B", new_first, "catalog: channel 1 to B")
    stage.run.sleep(2)
    stage.move(second, "A", new_second, "catalog: channel 2, other topic")
    stage.settled(2)


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


@scenario("12", "the catalog hangs during the move")
def hanging_catalog(stage: Stage) -> Script:
    channel = stage.channel("A", stage.topic("A"))
    new = stage.topic("B")
    yield
    stage.lead_in()
    stage.stub.fault = Fault.HANG
    stage.run.mark("catalog hangs")
    stage.run.sleep(1)
    stage.move(channel, "B", new, "catalog: B (but it hangs)")
    stage.run.sleep(6)
    stage.stub.fault = None
    stage.stub.drop_connections()
    stage.run.mark("catalog answers")
    stage.settled(extra=6)


@scenario(
    "13",
    "one consumer joins, one leaves, one is killed during the move",
    load={"groups": 2, "commits": ("store",)},
)
def comings_and_goings(stage: Stage) -> Script:
    # So long the killed one's partitions are nobody's.
    stage.profiles["in"] |= {"session.timeout.ms": 4000, "heartbeat.interval.ms": 700}
    channel = stage.channel("A", stage.topic("A"))
    new = stage.topic("B")
    yield
    stage.lead_in()
    run = stage.run
    stage.move(channel, "B", new, "catalog: B")
    stage.until("held", 1, TTL + 4, "consume")
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
    channel = stage.channel("A", stage.topic("A"))
    new = stage.topic("B")
    yield
    stage.lead_in()
    stage.move(channel, "B", new, "catalog: B")
    stage.settled()


@scenario("15a", "the new cluster cannot be reached for a while", alone=True)
def unreachable(stage: Stage) -> Script:
    channel = stage.channel("A", stage.topic("A"))
    new = stage.topic("B")
    stage.clusters["B"].kill()
    stage.callback(stage.clusters["B"].start)
    yield
    stage.lead_in()
    stage.move(channel, "B", new, "catalog: B, which is down")
    stage.run.sleep(stage.size.unreachable)
    stage.clusters["B"].start()
    stage.run.mark("B is up")
    stage.settled(extra=10)


@scenario("15b", "the same cluster under another bootstrap list")
def other_bootstrap_list(stage: Stage) -> Script:
    topic = stage.topic("A")
    channel = stage.channel("A", topic)
    servers = stage.clusters["A"].bootstrap_servers
    yield
    stage.lead_in()
    other = f"{servers},localhost:{servers.rpartition(':')[2]}"
    stage.move(channel, "A", topic, "catalog: other list", bootstrap=other)
    stage.run.sleep(TTL + WINDOW + 2 + stage.size.tail)


@scenario("16", "many random moves in a row", load={"settle": 25.0})
def random_moves(stage: Stage) -> Script:
    places = [("A", stage.topic("A")), ("A", stage.topic("A")), ("B", stage.topic("B"))]
    places.append(("B", stage.topic("B")))
    here = places[0]
    channel = stage.channel(*here, generation=1)
    chance = random.Random(16)
    yield
    stage.lead_in()
    previous: list[dict[str, Any]] = []
    for generation in range(1, stage.size.moves + 1):
        # A place may come and go between two questions, so the answer names them all.
        previous.append({**stage.earlier(*here), "generation": generation})
        here = chance.choice([place for place in places if place != here])
        more = {"generation": generation + 1, "previous": list(previous)}
        stage.move(channel, *here, f"{here[0]}{places.index(here) % 2 + 1}", **more)
        stage.run.sleep(chance.uniform(0.5, TTL + WINDOW))
    stage.run.sleep(TTL + WINDOW + 6 + stage.size.tail)


@scenario(
    "17",
    "mirrored topic: the new cluster has the old one's history",
    consume={"on_move_start": "timestamp"},
    remark="duplicates are the mirror's copies of what was written within `move_window` before",
    # The copies lie elsewhere, and nobody rescued them.
    bounds=lambda _: bounds(unexplained=None),
)
def mirrored(stage: Stage) -> Script:
    topic = stage.topic("A", "B")
    channel = stage.channel("A", topic)
    yield
    stage.lead_in()
    old, new = (stage.clusters[name].bootstrap_servers for name in "AB")
    copier = threading.Thread(target=copy_history, args=(topic, old, new))
    copier.start()
    stage.run.wait_until(lambda: not copier.is_alive(), 30)
    stage.run.mark("history copied")
    stage.run.sleep(0.5)
    stage.move(channel, "B", topic, "catalog: B")
    stage.settled()


@scenario(
    "18",
    "one group commits every 1,000 messages, one never",
    load={"groups": 2, "commits": ("1000", "never")},
)
def rare_commits(stage: Stage) -> Script:
    channel = stage.channel("A", stage.topic("A"))
    new = stage.topic("B")
    yield
    stage.lead_in()
    stage.move(channel, "B", new, "catalog: B")
    stage.settled(extra=6)


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
