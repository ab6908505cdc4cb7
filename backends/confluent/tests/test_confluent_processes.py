"""Forks, and what importing costs."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

_FORK = """
import gc, os, sys, time
from kafkaroute_confluent import ConfluentBackend

backend = ConfluentBackend()
settings = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g"}
# Freeing takes a second each where it goes wrong: ten, or a busy machine would look like it.
if sys.argv[1] == "producer":
    clients = [backend.open_producer(settings) for _ in range(10)]
    for client in clients:
        client.sender("t")(b"v")
else:
    clients = [backend.open_consumer(settings, {}) for _ in range(10)]
time.sleep(0.1)
child = os.fork()
began = time.monotonic()
if child == 0:
    while clients:
        client = clients.pop()
        assert not client.close(*([-1] if sys.argv[1] == "producer" else []))
        del client
    gc.collect()
    assert time.monotonic() - began < 5, "freeing the parent's clients took long"
    sys.exit(7)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7
assert time.monotonic() - began < 8, "the child's end took long"
for client in clients:
    client.close(*([0] if sys.argv[1] == "producer" else []))
"""

_IMPORT = """
import sys
import kafkaroute_confluent
assert "confluent_kafka" not in sys.modules
kafkaroute_confluent.ConfluentBackend
assert "confluent_kafka" in sys.modules
"""


def _run(script: str, *args: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script, *args], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
@pytest.mark.parametrize("kind", ["producer", "consumer"])
def test_a_child_leaves_the_parents_client_alone(kind: str) -> None:
    _run(_FORK, kind)


def test_importing_the_package_imports_no_client() -> None:
    began = time.monotonic()
    _run(_IMPORT)
    assert time.monotonic() - began < 10


def test_unknown_names_are_attribute_errors() -> None:
    import kafkaroute_confluent

    with pytest.raises(AttributeError, match="Nothing"):
        kafkaroute_confluent.Nothing  # noqa: B018
