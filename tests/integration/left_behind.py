"""Produces and neither flushes nor closes. Run as a program:

    left_behind.py HOW SETTINGS CHANNEL

HOW is exit (the process ends), raise (by an exception) or drop (the Producer is collected before).
"""

from __future__ import annotations

import gc
import json
import logging
import sys
import threading
import time

from kafkaroute import Producer

MESSAGES = 100


def main(how, settings, channel):
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    producer = Producer(json.loads(settings))
    for number in range(MESSAGES):
        producer.produce(channel, b"%d" % number)
    if how == "raise":
        raise LookupError("as an application does")
    if how == "drop":
        del producer
        gc.collect()
        until = time.monotonic() + 10
        while len(threading.enumerate()) > 1 and time.monotonic() < until:
            time.sleep(0.05)
        print([thread.name for thread in threading.enumerate()])


if __name__ == "__main__":
    main(*sys.argv[1:])
