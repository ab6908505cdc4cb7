"""The library's own ways take over where nothing in ``fast/`` may be used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
#: Runs the embedded conformance suite in this process, and tells what it imported.
_SUITE = """
import json, sys
import pytest
class Counted:
    def __init__(self): self.outcomes, self.failures = {}, []
    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            self.outcomes.setdefault(report.outcome, []).append(report.nodeid)
        if report.failed: self.failures.append(report.longreprtext)
counted = Counted()
code = pytest.main([sys.argv[1], "-k", "Embedded", "-q", "-p", "no:cacheprovider"], [counted])
fast = [name for name in sys.modules if name.startswith("kafkaroute_kafka_python.fast")]
print(json.dumps({"code": int(code), "fast": fast, "outcomes": counted.outcomes,
                  "failures": counted.failures}))
"""
#: Seconds; the suite takes 105 on a machine with two cores.
_PATIENCE = 900


@pytest.mark.embedded
@pytest.mark.timeout(_PATIENCE)
def test_conformance_with_everything_in_fast_switched_off(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SUITE, str(HERE / "test_kafka_python_conformance.py")],
        cwd=HERE.parents[2],
        env={
            **{name: value for name, value in os.environ.items() if "PYTEST" not in name},
            "KAFKAROUTE_KAFKA_PYTHON_FAST": "0",
            "TMPDIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["outcomes"].get("failed") is None, "\n".join(told["failures"])[-20_000:]
    assert told["code"] == 0
    assert len(told["outcomes"]["passed"]) > 290
    assert told["fast"] == []
