"""What a signal's handler or a callback raises leaves the call that it interrupted as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .interrupted import TIMES

SCRIPT = Path(__file__).with_name("interrupted.py")
NOBODY = {"bootstrap.servers": "127.0.0.1:9"}


@pytest.mark.parametrize("what", ["consumer", "producer"])
def test_calls_are_interrupted_while_brokers_are_away(world, what):
    channel = world.channel(connection=NOBODY)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), what, json.dumps(world.settings()), channel],
        cwd=SCRIPT.parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    *lines, last = done.stdout.splitlines()
    assert last == "END"
    assert [json.loads(line) for line in lines] == [
        *[["KeyboardInterrupt", [], True]] * TIMES,
        *[["SystemExit", [3], True]] * TIMES,
        *[["KeyError", ["absent"], True]] * TIMES,
    ]


def looks_up_once():
    """Raises the first time that it is called."""
    names = {"absent"}

    def look_up(*_):
        if names:
            {}[names.pop()]  # raised by C code, without an instance

    return look_up


@pytest.mark.parametrize("partition", [-1, 0])
def test_what_a_delivery_callback_raises(world, partition):
    channel = world.channel()
    producer = world.producer()
    producer.produce(channel, b"1", partition=partition, on_delivery=looks_up_once())
    with pytest.raises(KeyError, match="absent"):
        for _ in range(100):
            producer.poll(0.1)


@pytest.mark.parametrize("what", ["producer", "consumer"])
def test_what_other_callbacks_raise(world, what):
    if world.backend == "kafka-python":
        pytest.skip("kafka-python has no statistics")
    channel = world.channel()
    config = {"stats_cb": looks_up_once(), "statistics.interval.ms": 50}
    if what == "producer":
        client = world.producer(client_config=config)
        client.produce(channel, b"1")
    else:
        client = world.consumer([channel], client_config=config)
    with pytest.raises(KeyError, match="absent"):
        for _ in range(100):
            client.poll(0.1)
