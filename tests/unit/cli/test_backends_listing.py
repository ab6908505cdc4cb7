"""`kafkaroute backends` and `check` beside a plug-in that does not load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RULES = Path(__file__).parents[1] / "data" / "open-rules.yaml"
#: What a plug-in's module does when it is imported → what is said of it.
BROKEN = {
    "raise RuntimeError('not today')": "RuntimeError: not today",
    "import a_library_that_is_not_there": "No module named 'a_library_that_is_not_there'",
    "import os; os.abort()": "the process ended with -6",
    "class Backend: pass": "has no attribute 'client_version'",
}


@pytest.fixture
def site(tmp_path):
    def install(text):
        (tmp_path / "acme_broken.py").write_text(text)
        info = tmp_path / "acme_broken-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-broken\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(
            "[kafkaroute.backends]\nacme = acme_broken:Backend\n"
        )
        return tmp_path

    return install


def run(site, *argv):
    return subprocess.run(
        [sys.executable, "-m", "kafkaroute.cli", *argv],
        env={"PYTHONPATH": str(site), "PATH": "", "HOME": str(site)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_plug_in_is_called_one(site, text):
    folder = site(text)
    done = run(folder, "backends")
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("acme")]
    assert "DOES NOT LOAD" in line
    assert BROKEN[text] in line
    assert "pure Python" not in line
    rows = json.loads(run(folder, "backends", "--json").stdout)
    problems = {row["name"]: row["problem"] for row in rows}
    assert problems.pop("acme")
    assert set(problems.values()) == {None}


def test_check_goes_on_without_it(site):
    done = run(site("raise RuntimeError('not today')"), "check", str(RULES))
    assert done.returncode == 0
    assert ": sound: " in done.stdout
    assert "acme-broken 1.2" in done.stderr
    assert "it is not asked about profiles" in done.stderr
