"""Every public method from inside every callback and from a signal handler: returns or raises, in
time, and never ends or freezes the process. Each case in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .nested_calls import CONSUMER, MESSAGES, PRODUCER

SCRIPT = Path(__file__).with_name("nested_calls.py")
#: Seconds that the reading, the call and close() take together; the script reads for 4 at most.
PATIENCE = 12
#: What changes what is read next, or is called where it makes no sense.
DISTURBS = {
    *("pause", "seek", "assign", "unassign", "incremental_assign", "incremental_unassign"),
    *("subscribe", "unsubscribe", "close", "purge", "produce"),
}
#: Calls that would serve callbacks inside of callbacks.
REFUSED = {"poll", "consume", "next", "flush"}


def run(world, what, where, *names):
    """(what it ended with, how many messages were seen) by method."""
    channel = world.channel(0)
    if what == "consumer":
        world.write(channel, [b"v%d" % number for number in range(MESSAGES)])
    done = subprocess.run(
        [sys.executable, str(SCRIPT), what, where, json.dumps(world.settings()), channel, *names],
        cwd=SCRIPT.parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    lines = done.stdout.splitlines()
    assert lines[-1] == "END"
    found = {}
    for line in lines:
        if line.startswith("["):
            name, ended, seen, took = json.loads(line)
            found[name] = (ended, seen)
            assert took < PATIENCE, line
    return found


def check(found):
    for name, (ended, seen) in found.items():
        assert ended == "returned" or ended.startswith("raised: "), (name, ended)
        if name not in DISTURBS:
            assert seen == MESSAGES, (name, ended, seen)
        if name in REFUSED:
            assert "_STATE" in ended, (name, ended)


def consumer_case(world, where):
    names = set(CONSUMER)
    found = run(world, "consumer", where, *sorted(names))
    assert set(found) == names
    check(found)


def producer_case(world, where):
    found = run(world, "producer", where)
    assert set(found) == set(PRODUCER)
    check(found)
    assert found["close"][0] == "returned"


@pytest.mark.parametrize("where", ["on_assign", "signal"])
def test_calls_of_a_consumer(any_world, where):
    consumer_case(any_world, where)


@pytest.mark.parametrize("where", ["on_revoke", "on_commit", "stats_cb"])
def test_calls_of_a_consumer_in_other_callbacks(world, where):
    if where == "stats_cb" and world.backend == "kafka-python":
        pytest.skip("kafka-python has no statistics")
    consumer_case(world, where)


def test_calls_of_a_producer(any_world):
    producer_case(any_world, "on_delivery")


@pytest.mark.parametrize("where", ["stats_cb", "signal"])
def test_calls_of_a_producer_elsewhere(world, where):
    if where == "stats_cb" and world.backend == "kafka-python":
        pytest.skip("kafka-python has no statistics")
    producer_case(world, where)
