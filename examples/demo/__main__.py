"""The demo: New York's departures through two embedded clusters, by each backend in turn. While
they fly, the catalog moves one airport's channel from one cluster to the other.

Needs neither a JVM nor a running Kafka. Exit status 1 if any flight is lost, read twice, read
out of its aircraft's order or not as it was written.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
import time

from kafkaroute.plugins import BACKENDS, installed

from ..flights import TOTAL
from .apps import DemoFailed
from .carry import LEAD, Result, carry_flights
from .display import PlainDisplay, RichDisplay, choose_display
from .rules import topics

DEFAULT_FLIGHTS = 40_000


def main() -> int:
    names = sorted({plugin.name for plugin in installed(BACKENDS)})
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    parser.add_argument("--backend", action="append", choices=names, help="only this one (repeat)")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument(
        "--flights", type=int, default=DEFAULT_FLIGHTS, help="how many (%(default)s)"
    )
    amount.add_argument("--full", action="store_true", help=f"all {TOTAL:,} flights")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for each backend")
    parser.add_argument("--json", action="store_true", help="print the results as JSON at the end")
    options = parser.parse_args()
    flights = TOTAL if options.full else min(max(options.flights, 1), TOTAL)

    started = time.monotonic()
    results: list[Result] = []
    display = choose_display()
    try:
        with display:
            for backend in options.backend or names:
                display.begin(backend, flights)
                results += _carry_on_embedded(backend, flights, display, options.timeout)
    except DemoFailed as error:
        print(f"the demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    display.finish(results)
    sound = all(result.sound for result in results)
    carried = sum(result.consumed for result in results)
    verdict = "each read once, in order, as it was written" if sound else "SOMETHING WENT WRONG"
    print(f"{carried:,} flights in {time.monotonic() - started:.1f} s: {verdict}")
    if options.json:
        print(json.dumps([dataclasses.asdict(result) for result in results]))
    return 0 if sound else 1


def _carry_on_embedded(
    backend: str, flights: int, display: PlainDisplay | RichDisplay, timeout: float
) -> list[Result]:
    from kafkaroute.testing.embedded import EmbeddedCluster

    with contextlib.ExitStack() as stack:
        connections = {}
        for name, names in topics().items():
            cluster = stack.enter_context(EmbeddedCluster(partitions=4))
            for topic in names:
                cluster.create_topic(topic)
            connections[name] = cluster.client_config(backend=backend)
        return carry_flights(
            backend,
            connections,
            flights,
            progress=lambda produced, consumed: display.update(backend, produced, consumed),
            tell=display.tell,
            lead=LEAD,
            timeout=timeout,
        )


if __name__ == "__main__":
    sys.exit(main())
