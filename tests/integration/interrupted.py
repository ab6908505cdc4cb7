"""Interrupts a client's calls while its brokers are away. Run as a program:

    interrupted.py WHAT SETTINGS CHANNEL

WHAT is consumer or producer, SETTINGS a JSON object. Prints a line an interrupt: what ended the call.
"""

from __future__ import annotations

import json
import signal
import sys
import time

from kafkaroute import Consumer, Producer

#: Interrupts of each kind, and seconds until the first; librdkafka writes log lines meanwhile.
TIMES = 8
FIRST = 0.35
#: Seconds of a call; it must not go on after the interrupt.
TIMEOUT = 10


def ctrl_c(number, frame):
    signal.default_int_handler(number, frame)


def leave(_number, _frame):
    sys.exit(3)


def look_up(_number, _frame):
    {}["absent"]  # raised by C code, without an instance


def open_client(what, settings, channel):
    if what == "producer":
        producer = Producer(settings)
        producer.produce(channel, b"never delivered")
        return producer
    own = {"group.id": f"interrupted-{time.time()}"}
    consumer = Consumer({**settings, "client_config": settings["client_config"] | own})
    consumer.subscribe([channel])
    return consumer


def main(what, settings, channel):
    client = open_client(what, json.loads(settings), channel)
    for handler in (ctrl_c, leave, look_up):
        signal.signal(signal.SIGALRM, handler)
        for number in range(TIMES):
            began = time.monotonic()
            try:
                # Where librdkafka looks for its brokers again differs.
                signal.setitimer(signal.ITIMER_REAL, FIRST + 0.09 * number)
                while time.monotonic() - began < TIMEOUT:
                    client.poll(TIMEOUT)
            except BaseException as error:
                took = time.monotonic() - began
                print(json.dumps([type(error).__name__, error.args, took < 2]), flush=True)
            else:
                print(json.dumps(["nothing", [], False]), flush=True)
    if what == "producer":
        client.purge()
    client.close()
    print("END", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
