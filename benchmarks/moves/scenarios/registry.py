"""What a scenario is, and the bounds that hold unless it says otherwise.

A script is a generator: what comes before its ``yield`` prepares, what comes after it happens under
load, and it may return a check of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from kafkaroute.verify import Bounds, Certificate

from ..stage import TTL, WINDOW, Stage

__all__ = [
    "CONSUMER_PAUSE",
    "PRODUCER_PAUSE",
    "PRODUCER_PAUSE_AFTER_REFUSAL",
    "SCENARIOS",
    "Scenario",
    "Script",
    "bounds",
    "scenario",
]

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
