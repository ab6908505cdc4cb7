"""Produces the departures of New York's airports to one channel per airport.

It names channels and nothing else: the environment (KAFKAROUTE_SERVICE_GATEWAY_URI,
KAFKAROUTE_BASIC_AUTH, KAFKAROUTE_CONFIG_PROFILE, KAFKAROUTE_BACKEND, …) says which catalog knows
the clusters and which client does the work.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable

from flights import AIRPORTS, ROW_HEADER, Flight, Tally, channel_of, read_flights, say, say_change

from kafkaroute import KafkaError, Message
from kafkaroute.producer import Producer


class Allowance:
    """How many messages may be sent in all; whoever reads them may raise it, line by line."""

    def __init__(self, paced: bool) -> None:
        self.limit = 0.0 if paced else float("inf")
        if paced:
            threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            self.limit = float(line)
        self.limit = float("inf")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, help="how many flights (all)")
    parser.add_argument(
        "--paced",
        action="store_true",
        help="send only as many as the last number on standard input allows",
    )
    options = parser.parse_args()
    allowance = Allowance(options.paced)
    delivered = {channel_of(airport): Tally() for airport in AIRPORTS}
    failures = 0
    sent = 0
    said = time.monotonic()

    with Producer({"on_route_change": say_change}) as producer:

        def report(flight: Flight) -> Callable[[KafkaError | None, Message], None]:
            def on_delivery(error: KafkaError | None, _message: Message) -> None:
                nonlocal failures
                if error is not None:
                    failures += 1
                    print(f"row {flight.row} was not delivered: {error}", file=sys.stderr)
                else:
                    tally = delivered[flight.channel]
                    tally.add(flight.row, flight.key, flight.value, flight.timestamp)

            return on_delivery

        for flight in read_flights(options.limit):
            while sent >= allowance.limit:
                producer.poll(0.02)
            while True:
                try:
                    producer.produce(
                        flight.channel,
                        flight.value,
                        flight.key,
                        on_delivery=report(flight),
                        timestamp=flight.timestamp,
                        headers=[(ROW_HEADER, b"%d" % flight.row)],
                    )
                    break
                except BufferError:  # the local queue is full: let some of it be delivered
                    producer.poll(0.1)
            sent += 1
            if sent % 100 == 0:
                producer.poll(0)
                if time.monotonic() - said > 0.2:
                    said = time.monotonic()
                    say("progress", count=sum(tally.count for tally in delivered.values()))
        undelivered = producer.flush(60)

    channels = {
        name: {"count": tally.count, "fingerprint": tally.fingerprint}
        for name, tally in delivered.items()
    }
    say("done", sent=sent, failures=failures, undelivered=undelivered, channels=channels)
    return 1 if failures or undelivered else 0


if __name__ == "__main__":
    sys.exit(main())
