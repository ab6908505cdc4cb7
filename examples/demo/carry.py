"""Carries the flights through two clusters with one backend: catalog service and both apps."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..flights import AIRPORTS, channel_of
from .apps import App, DemoFailed, running
from .rules import HOMES, MOVES, PASSWORD_VARIABLE, USER, rules_text
from .watch import Progress, Tell, Watch

EXAMPLES = Path(__file__).resolve().parent.parent
#: How far the producer may be ahead of the consumer. An embedded partition forgets what exceeds
#: 5 MB; this many flights are 17 MB uncompressed, spread over twelve partitions.
LEAD = 50_000

#: The apps follow the move within a second or two, and watch the old place until they end.
FOLLOW = {
    "KAFKAROUTE_TTL": "1",
    "KAFKAROUTE_MOVE_WINDOW": "1",
    "KAFKAROUTE_MOVE_LINGER": "60",
}


@dataclass(frozen=True)
class Result:
    """What became of one channel's flights on one backend.

    Attributes:
        intact: every flight that was read is byte for byte one that was written.
        rate: messages a second, from the first to the last that was read.
    """

    backend: str
    channel: str
    cluster: str
    produced: int
    consumed: int
    duplicated: int
    reordered: int
    intact: bool
    rate: float

    @property
    def lost(self) -> int:
        return self.produced - self.consumed

    @property
    def sound(self) -> bool:
        return not (self.lost or self.duplicated or self.reordered) and self.intact


def carry_flights(
    backend: str,
    connections: Mapping[str, Mapping[str, object]],
    flights: int,
    *,
    progress: Progress = lambda _produced, _consumed: None,
    tell: Tell = lambda _line: None,
    prefix: str = "departures",
    lead: int | None = LEAD,
    timeout: float = 300.0,
) -> list[Result]:
    """Produce and consume the first `flights` flights by two processes of their own, and move a
    channel from cluster `a` to cluster `b` when a third of them is under way.

    Args:
        backend: name of the backend that both apps use.
        connections: client settings that reach the clusters ``a`` and ``b``.
        progress: called with the numbers delivered and read so far.
        tell: called with a line for each thing that happens to the channel that moves.
        prefix: begins the names of topics and group; must be new on these clusters.
        lead: how far the producer may be ahead; None for as far as it likes.
        timeout: seconds for all of it.

    Raises:
        DemoFailed: a process failed or time is up.
    """
    deadline = time.monotonic() + timeout
    password = os.urandom(12).hex()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kafkaroute-demo-")))
        rules = folder / "rules.yaml"
        rules.write_text(rules_text(connections, prefix), encoding="utf-8")

        def start(name: str, command: list[str], env: Mapping[str, str]) -> App:
            app = App(
                name, [sys.executable, *command], env, folder / f"{name.replace(' ', '-')}.log"
            )
            return stack.enter_context(running(app))

        service = start(
            "kafkaroute serve",
            ["-m", "kafkaroute.cli", "serve", str(rules), "--port", "0"],
            {PASSWORD_VARIABLE: password},
        )
        common = {
            "KAFKAROUTE_SERVICE_GATEWAY_URI": _address(service),
            "KAFKAROUTE_BASIC_AUTH": f"{USER}:{password}",
            "KAFKAROUTE_BACKEND": backend,
            **FOLLOW,
        }
        consumer = start(
            "consume app",
            [str(EXAMPLES / "consume_flights.py"), "--group", prefix, "--expect", str(flights)],
            {**common, "KAFKAROUTE_CONFIG_PROFILE": "flightsIn"},
        )
        producer = start(
            "produce app",
            [str(EXAMPLES / "produce_flights.py"), "--limit", str(flights), "--paced"],
            {**common, "KAFKAROUTE_CONFIG_PROFILE": "flightsOut"},
        )

        def move() -> None:
            # Beside it and renamed, so that the service never reads half a file.
            new = folder / "rules.new"
            new.write_text(rules_text(connections, prefix, moved=True), encoding="utf-8")
            new.replace(rules)
            tell(f"the catalog moves {MOVES} from cluster a to cluster b")

        watch = Watch(producer, consumer, service, flights, lead, move, progress, tell)
        produced, consumed = watch.until_done(deadline)
        if not watch.moved_away:
            raise DemoFailed(f"the channel did not move:\n{producer.tail()}\n{consumer.tail()}")
        results = _results(backend, produced, consumed)
        if not all(result.sound for result in results):
            for app in (producer, consumer, service):
                print(f"{app.name} wrote:\n{app.tail()}", file=sys.stderr)
    return results


def _address(service: App) -> str:
    try:
        line = service.said.get(timeout=20)
    except queue.Empty:
        service.check()
        raise DemoFailed(f"the catalog service does not start:\n{service.tail()}") from None
    return str(line).split()[-1]


def _results(backend: str, produced: dict[str, Any], consumed: dict[str, Any]) -> list[Result]:
    results = []
    for airport in AIRPORTS:
        out, back = produced[channel_of(airport)], consumed[channel_of(airport)]
        results.append(
            Result(
                backend=backend,
                channel=channel_of(airport),
                cluster=HOMES[airport],
                produced=out["count"],
                consumed=back["count"],
                duplicated=back["duplicated"],
                reordered=back["reordered"],
                intact=out["fingerprint"] == back["fingerprint"],
                rate=back["count"] / back["seconds"] if back["seconds"] else 0.0,
            )
        )
    return results
