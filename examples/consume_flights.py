"""Reads the departures of all three airports, wherever their channels live.

One Consumer, three channels, as many clusters as it takes. It checks what it reads: every flight
once, and the flights of one aircraft from one airport in order.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field

from flights import AIRPORTS, ROW_HEADER, Tally, channel_of, say, say_change

from kafkaroute import Message
from kafkaroute.consumer import Consumer


@dataclass
class Reading:
    """What was read from one channel."""

    tally: Tally = field(default_factory=Tally)
    rows: set[int] = field(default_factory=set)
    last_row: dict[bytes, int] = field(default_factory=dict)
    duplicated: int = 0
    reordered: int = 0
    first: float = 0.0
    last: float = 0.0

    def add(self, message: Message) -> None:
        row = int(dict(message.headers() or [])[ROW_HEADER] or b"")
        if row in self.rows:
            self.duplicated += 1
            return
        self.rows.add(row)
        key = message.key()
        if key is not None:
            self.reordered += row < self.last_row.get(key, -1)
            self.last_row[key] = row
        self.tally.add(row, key, message.value(), message.timestamp()[1])
        self.last = time.monotonic()
        self.first = self.first or self.last

    def summary(self) -> dict[str, float]:
        return {
            "count": self.tally.count,
            "fingerprint": self.tally.fingerprint,
            "duplicated": self.duplicated,
            "reordered": self.reordered,
            "seconds": self.last - self.first,
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--group", default="flight-board", help="group.id (%(default)s)")
    parser.add_argument("--expect", type=int, help="stop after this many flights")
    parser.add_argument(
        "--idle", type=float, default=20.0, help="stop after so many seconds of silence"
    )
    parser.add_argument(
        "--linger", type=float, default=0.5, help="seconds to look for duplicates at the end"
    )
    options = parser.parse_args()
    readings = {channel_of(airport): Reading() for airport in AIRPORTS}
    count = 0
    now = said = heard = time.monotonic()
    end = float("inf")

    settings = {"client_config": {"group.id": options.group}, "on_route_change": say_change}
    with Consumer(settings) as consumer:
        consumer.subscribe(list(readings))
        while now < min(end, heard + options.idle):
            for message in consumer.consume(500, timeout=0.1):
                if message.error() is not None:
                    print(f"the client reports: {message.error()}", file=sys.stderr)
                    continue
                readings[message.channel()].add(message)
                count += 1
                heard = time.monotonic()
            now = time.monotonic()
            if now - said > 0.1:
                said = now
                say("progress", count=count)
            if (
                options.expect is not None
                and count >= options.expect
                and end > now + options.linger
            ):
                end = now + options.linger

    say("done", channels={name: reading.summary() for name, reading in readings.items()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
