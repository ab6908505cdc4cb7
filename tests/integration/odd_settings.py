"""Opens clients with odd values of every setting. Run as a program:

    odd_settings.py BACKEND WHAT START END STEP

WHAT is consumer or producer. Tries the cases from number START on, each STEPth; prints each one's
number before, and what it ended with after.
"""

from __future__ import annotations

import faulthandler
import itertools
import json
import logging
import sys
import time
from pathlib import Path

from kafkaroute import Consumer, KafkarouteError, Producer
from kafkaroute.testing.catalog_stub import CatalogStub

#: The names in librdkafka's CONFIGURATION.md, one a line.
SETTINGS = Path(__file__).with_name("librdkafka_settings.txt").read_text("ascii").split()
#: Names that are none.
SETTINGS += ["", " ", "x" * 5000, "a\0b", "\U0001f600" * 60, "\ud83d", "topic.", "no.such"]
VALUES = {
    "empty": "",
    "blank": " \t",
    "newline": "one\ntwo",
    "5,000 characters": "x" * 5000,
    "beyond ASCII": "\U0001f600" * 60,
    "half a character": "\ud83d",
    "nul": "a\0b",
    "huge": 10**30,
    "large": 2**31 - 1,
    "negative": -1,
    "very negative": -(10**30),
    "not a number": float("nan"),
    "a fraction": 0.5,
    "true": True,
    "bytes": b"\xff\xfe",
    "none": None,
    "a list": ["a", 1],
}
#: JSON has no way to write this.
ONLY_HERE = {"bytes"}
CASES = [
    (source, setting, value)
    for value, setting, source in itertools.product(VALUES, SETTINGS, ("application", "catalog"))
    if source == "application" or value not in ONLY_HERE
]
#: Seconds for one case.
PATIENCE = 20
CHANNEL = "kafka://example.com/odd"
NOBODY = {"bootstrap.servers": "127.0.0.1:9"}


def attempt(backend, what, stub, case):
    source, setting, value = case
    odd = {setting: VALUES[value]}
    own, answered = (odd, {}) if source == "application" else ({}, odd)
    stub.put(CHANNEL, topic="t", connection=NOBODY, configuration=answered)
    if what == "consumer":
        own = {"group.id": "g"} | own
    settings = stub.settings(backend=backend, client_config=own, timeout=2.0)
    client = None
    try:
        if what == "producer":
            client = Producer(settings)
            client.produce(CHANNEL, b"never delivered")
        else:
            client = Consumer(settings)
            client.subscribe([CHANNEL])
        client.poll(0)
    except (KafkarouteError, BufferError) as error:
        return f"raised: {type(error).__name__}"
    finally:
        if client is not None:
            if what == "producer":
                client.purge()
                client.close(0.1)
            else:
                client.close()
    return "opened"


def main(backend, what, start, end, step):
    faulthandler.enable()
    logging.getLogger("kafkaroute").propagate = False
    with CatalogStub() as stub:
        for number in range(int(start), min(int(end), len(CASES)), int(step)):
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            print(number, flush=True)
            began = time.monotonic()
            try:
                ended = attempt(backend, what, stub, CASES[number])
            except Exception as error:
                ended = f"a stranger: {type(error).__name__}: {error}"[:300]
            print(json.dumps([number, ended, round(time.monotonic() - began, 2)]), flush=True)
    print("END", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
