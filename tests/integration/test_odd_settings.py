"""Every setting with odd values, from the application and from the catalog: no client ends or freezes
its process, and what is raised is what the documents say.

One process tries many values, and is started again after a death. A share of the cases is tried
here, each value of every kind; ``make walk`` tries all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import BACKENDS
from .odd_settings import CASES, PATIENCE

#: Every so many cases. No divisor of the number of settings, so that each value meets others.
STEP = int(os.environ.get("WALK_STEP", "5"))
#: Deaths after which the walk ends.
ENOUGH = 5


def walk(backend, what):
    """Which cases went wrong, with what they ended with; and how many were tried."""
    wrong, tried, start = [], 0, 0
    while start < len(CASES) and len(wrong) < ENOUGH:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.integration.odd_settings"),
                *(backend, what, str(start), str(len(CASES)), str(STEP)),
            ],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        lines = done.stdout.splitlines()
        for number, ended, took in map(json.loads, filter(lambda one: one[0] == "[", lines)):
            tried += 1
            if "a stranger" in ended or took > PATIENCE / 2:
                wrong.append((*CASES[number], ended, took))
        if lines and lines[-1] == "END":
            break
        last = [int(line) for line in lines if line.isdigit()]
        assert last, done.stderr[-3000:]
        wrong.append((*CASES[last[-1]], f"ended with {done.returncode}", done.stderr[-3000:]))
        start = last[-1] + STEP
    return wrong, tried


@pytest.mark.timeout(120 + 20 * 60 // STEP)
@pytest.mark.parametrize("what", ["producer", "consumer"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_odd_values_of_every_setting(backend, what):
    wrong, tried = walk(backend, what)
    assert wrong == []
    assert tried == len(range(0, len(CASES), STEP))
