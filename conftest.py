"""Fixtures for every test of the tree."""

import os
import tomllib
from pathlib import Path

import pytest

from kafkaroute.compiled import compiled_modules

pytest_plugins = ["kafkaroute.testing.plugin"]

_ROOT = Path(__file__).parent
_PROJECTS = {
    "kafkaroute": _ROOT,
    "kafkaroute_confluent": _ROOT / "backends/confluent",
    "kafkaroute_kafka_python": _ROOT / "backends/kafka_python",
}


def pytest_configure() -> None:
    """A run that is meant for the compiled build (`make test-compiled`) is of nothing else."""
    if not os.environ.get("KAFKAROUTE_REQUIRE_COMPILED"):
        return
    for package, folder in _PROJECTS.items():
        project = tomllib.loads((folder / "pyproject.toml").read_text())
        listed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]["include"]
        names = {name.strip("/").removeprefix("src/").removesuffix(".py") for name in listed}
        wanted = {name.replace("/", ".") for name in names}
        if wanted != (found := set(compiled_modules(package))):
            pure = ", ".join(sorted(wanted - found)) or "none"
            raise pytest.UsageError(f"{package} is not the compiled build: pure are {pure}")
