"""Clusters and catalogs that do not answer while a channel moves."""

from __future__ import annotations

import time

from kafkaroute.testing.faults import Fault
from kafkaroute.verify import Bounds, Certificate

from ..stage import WINDOW, Stage
from .registry import (
    CONSUMER_PAUSE,
    PRODUCER_PAUSE_AFTER_REFUSAL,
    Script,
    bounds,
    scenario,
)


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


@scenario("15a", "the new cluster cannot be reached for a while", alone=True)
def unreachable(stage: Stage) -> Script:
    channel = stage.channel("A", stage.topic("A"))
    new = stage.topic("B")
    stage.callback(stage.clusters["B"].start)
    yield
    stage.lead_in()
    stage.clusters["B"].kill()
    stage.move(channel, "B", new, "catalog: B, which is down")
    stage.run.sleep(stage.size.unreachable)
    stage.clusters["B"].start()
    stage.run.mark("B is up")
    stage.settled(extra=10)
