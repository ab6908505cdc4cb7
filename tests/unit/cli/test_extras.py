"""What somebody is told who did not install the extra that a command needs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from kafkaroute import extras

ROOT = Path(__file__).parents[3]
RULES = ROOT / "tests" / "unit" / "data" / "open-rules.yaml"
#: Runs a command as if modules were not installed.
_WITHOUT = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Finder())
from kafkaroute.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("missing", "command", "extra"),
    [
        ("yaml", ["check", str(RULES)], "file"),
        ("re2", ["check", str(RULES)], "file"),
        ("yaml", ["check", "--schema"], "file"),
        ("yaml", ["import-kong", str(RULES)], "file"),
        ("yaml", ["rules", "put", "postgresql://127.0.0.1:9/x", str(RULES)], "file"),
        ("psycopg", ["rules", "get", "postgresql://127.0.0.1:9/x"], "postgresql"),
        ("psycopg", ["rules", "history", "postgresql://127.0.0.1:9/x"], "postgresql"),
        ("psycopg", ["rules", "put", "postgresql://127.0.0.1:9/x", str(RULES)], "postgresql"),
        ("psycopg", ["serve", "postgresql://127.0.0.1:9/x"], "postgresql"),
        ("yaml,re2", ["serve", str(RULES)], "file"),
        ("jinja2", ["serve", str(RULES)], "server"),
        ("uvicorn", ["serve", str(RULES)], "server"),
        ("jwt", ["serve", str(RULES)], "server"),
        ("yaml", ["resolve", "kafka://h/a", "--catalog", f"file://{RULES}"], "file"),
    ],
)
def test_a_command_names_the_extra(missing, command, extra):
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT, missing, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode in {1, 2}, done
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("kafkaroute: "), done.stderr
    assert f"pip install 'kafkaroute[{extra}]'" in lines[-1]
    assert not any("Traceback" in line for line in lines)


def test_every_extra_is_one_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras._EXTRAS.values()) <= set(project["optional-dependencies"])
    assert extras.how_to_get("this", ModuleNotFoundError("x", name="a_stranger.part")) is None
