"""What a result was measured on."""

from __future__ import annotations

import datetime as dt
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from kafkaroute.compiled import build_of

__all__ = ["build", "describe", "load"]

_OURS = ("kafkaroute", "kafkaroute_confluent", "kafkaroute_kafka_python")
_PACKAGES = (
    *("kafkaroute", "confluent-kafka", "kafka-python", "crc32c"),
    *("aiokafka", "faststream", "requests"),
)


def describe(broker: str) -> dict[str, Any]:
    """Processor, interpreter, versions; how busy the machine was before the first run."""
    return {
        "measured": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "broker": f"{broker}, in a process of its own on the same machine",
        "processor": f"{_processor()}, {os.cpu_count()} logical processors",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load before": load(),
        "build": build(),
        "packages": ", ".join(_versions()),
    }


def build() -> str:
    """Of kafkaroute and its backends: ``compiled`` (wheels for a platform), or ``pure Python``."""
    builds = {package: build_of(package) for package in _OURS}
    if len(set(builds.values())) == 1:
        return builds["kafkaroute"]
    return ", ".join(f"{package}: {how}" for package, how in builds.items())


def load() -> str:
    """The load of the last 1, 5 and 15 minutes: above the suite's own 1 to 2, others disturbed it."""
    return " ".join(f"{number:.2f}" for number in os.getloadavg())


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions() -> list[str]:
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return found
