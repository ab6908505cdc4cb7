"""What people read where psycopg is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "argv",
    [
        ["serve", "postgresql://h/db"],
        ["serve", "postgres://h/db"],
        ["rules", "get", "postgresql://h/db"],
    ],
)
def test_the_missing_extra_is_named(argv):
    code = (
        "import sys\n"
        "sys.modules['psycopg'] = None\n"
        "from kafkaroute.cli import main\n"
        f"sys.exit(main({argv!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "pip install 'kafkaroute[postgresql]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_history_file_is_for_files(tmp_path):
    from kafkaroute.cli import main

    argv = ["serve", "postgresql://h/db", "--history", str(tmp_path / "x"), "--port", "0"]
    assert main(argv) == 2
