"""The pytest plug-in where no Kafka can be had: one visible line, skipped or failed tests."""

import os
import subprocess
import sys

import pytest

SUITE = """
def test_needs_kafka(real_cluster):
    raise AssertionError("there is no Kafka here")

def test_needs_two(real_clusters):
    raise AssertionError("there is no Kafka here")

def test_embedded(embedded_cluster):
    assert embedded_cluster.bootstrap_servers
"""


@pytest.fixture
def run_without_kafka(tmp_path):
    (tmp_path / "test_suite.py").write_text(SUITE)

    def run(*arguments, **extra):
        env = {name: value for name, value in os.environ.items() if "KAFKA" not in name}
        env |= {"KAFKA_HOME": str(tmp_path), **extra}
        command = [sys.executable, "-m", "pytest", "-p", "kafkaroute.testing.plugin", "-q"]
        command += ["-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
        command += arguments
        return subprocess.run(
            command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False
        )

    return run


def visible_lines(output):
    return [line for line in output.splitlines() if line.startswith("kafkaroute:")]


def test_tests_that_need_kafka_are_skipped_with_one_line(run_without_kafka):
    done = run_without_kafka()
    assert done.returncode == 0, done.stdout
    assert "1 passed, 2 skipped" in done.stdout
    [line] = visible_lines(done.stdout)
    assert "skipped" in line
    assert "KAFKA_HOME" in line


def test_they_fail_where_kafka_is_required(run_without_kafka):
    done = run_without_kafka(KAFKAROUTE_REQUIRE_KAFKA="1")
    assert done.returncode == 1
    assert "1 passed, 2 errors" in done.stdout
    [line] = visible_lines(done.stdout)
    assert "failed" in line


def test_workers_tell_what_they_found(run_without_kafka):
    done = run_without_kafka("-n", "2", KAFKAROUTE_REQUIRE_KAFKA="1")
    assert done.returncode == 1
    assert "1 passed, 2 errors" in done.stdout
    [line] = visible_lines(done.stdout)
    assert "failed" in line


def test_runs_that_need_no_kafka_say_nothing(run_without_kafka, tmp_path):
    (tmp_path / "test_suite.py").write_text("def test_nothing(): pass\n")
    done = run_without_kafka(KAFKAROUTE_REQUIRE_KAFKA="1")
    assert done.returncode == 0
    assert visible_lines(done.stdout) == []
