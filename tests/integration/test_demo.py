"""`make demo` in small: two embedded clusters, the catalog service and both apps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.embedded
@pytest.mark.parametrize("backend", ["confluent-kafka", "kafka-python"])
def test_the_demo_loses_nothing(backend):
    command = [sys.executable, "-m", "examples.demo", "--backend", backend]
    done = subprocess.run(
        [*command, "--flights", "6000", "--timeout", "60", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert sum(result["consumed"] for result in results) == 6000
    assert {result["channel"][-3:]: result["cluster"] for result in results} == {
        "EWR": "a",
        "JFK": "a",
        "LGA": "a → b",
    }
    assert all(result["intact"] and not result["duplicated"] for result in results)
    assert "the catalog moves LGA from cluster a to cluster b" in done.stdout
    for app, phase in (("produce", "released"), ("consume", "left")):
        assert f"{app} app: {phase} from departures.laguardia at " in done.stdout
    assert "each read once, in order, as it was written" in done.stdout
