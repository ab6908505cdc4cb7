"""Exceptions that arrive from outside in the middle of poll(), as a timer's or gevent's do."""

from __future__ import annotations

import ctypes
import threading
import time

import pytest

MESSAGES = 20_000


class FromOutside(Exception):
    """Set by another thread."""


def interrupt(thread):
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(FromOutside)
    )


# kafka-python's own code, which is Python, can be cut off anywhere: its fetches are not covered.
@pytest.mark.parametrize("world", ["confluent-kafka"], indirect=True)
@pytest.mark.parametrize("how", ["poll", "consume"])
def test_no_batch_is_lost(world, how):
    """The one message whose way to the application is cut off may be."""
    channel = world.channel()
    world.write(channel, [b"%d" % number for number in range(MESSAGES)])
    consumer = world.consumer([channel])
    world.join(consumer)
    seen, caught = [], []
    done = threading.Event()

    def read():
        until = time.monotonic() + 60
        quiet = 0
        while quiet < 20 and time.monotonic() < until:
            try:
                if how == "poll":
                    message = consumer.poll(0.1)
                    found = [] if message is None else [message]
                else:
                    found = consumer.consume(50, 0.1)
                seen.extend([int(one.value()) for one in found])
                quiet = 0 if found else quiet + 1
            except FromOutside:
                caught.append(len(seen))
        done.set()

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(300):
        if done.wait(0.003):
            break
        interrupt(thread)
    thread.join(90)
    lost = MESSAGES - len(set(seen))
    share = 1 if how == "poll" else 50
    assert len(caught) > 5  # how many come depends on the machine
    assert lost <= share * len(caught), (lost, len(caught))
    if how == "poll":
        assert lost < 100, (lost, len(caught))
