"""Messages that nobody waited for: delivered in a moment, or told; never lost without a word."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .left_behind import MESSAGES

SCRIPT = Path(__file__).with_name("left_behind.py")
NOBODY = {"bootstrap.servers": "127.0.0.1:9"}


def run(world, how, channel):
    """The process, and how many seconds it took."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(SCRIPT), how, json.dumps(world.settings()), channel],
        cwd=SCRIPT.parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == (how == "raise"), done.stderr
    return done, time.monotonic() - began


@pytest.mark.parametrize("how", ["exit", "raise", "drop"])
def test_what_can_be_delivered_is(any_world, how):
    channel = any_world.channel()
    done, _ = run(any_world, how, channel)
    assert len(any_world.landed(channel)) == MESSAGES
    assert "WARNING kafkaroute.producer" not in done.stderr
    if how == "drop":
        assert done.stdout == "['MainThread']\n"


@pytest.mark.parametrize("how", ["exit", "drop"])
def test_what_cannot_be_delivered_is_told(world, how):
    done, took = run(world, how, world.channel(connection=NOBODY))
    assert f"WARNING kafkaroute.producer {MESSAGES} messages were not delivered" in done.stderr
    assert took < 15
    if how == "drop":
        assert done.stdout == "['MainThread']\n"
