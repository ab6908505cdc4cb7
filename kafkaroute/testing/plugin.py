"""pytest fixtures: clusters to test against.

Name this module in the root ``conftest.py`` (``pytest_plugins = ["kafkaroute.testing.plugin"]``).

Fixtures, all of one session and started when first asked for:

* ``embedded_cluster``: an :class:`~kafkaroute.testing.embedded.EmbeddedCluster`;
* ``real_clusters``: two Apache Kafka clusters, A and B; ``real_cluster`` is A.

Where no Kafka can be had, tests that need one are skipped, and one line of the summary says what
is missing. With ``KAFKAROUTE_REQUIRE_KAFKA=1`` they fail instead.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn

import pytest

from .cluster import Cluster, ClusterUnavailable
from .embedded import EmbeddedCluster
from .external import VARIABLE, external_clusters

__all__ = ["REQUIRE_KAFKA", "embedded_cluster", "real_cluster", "real_clusters"]

# The suite's assertions are told in full, as those of test modules are.
pytest.register_assert_rewrite("kafkaroute.testing.conformance")

REQUIRE_KAFKA = "KAFKAROUTE_REQUIRE_KAFKA"
_WORKERS_KEY = "kafkaroute"


@dataclass
class _Outcome:
    """What the session's end tells: how Kafka was had, or why not; what deviates and why."""

    way: str | None = None
    missing: str | None = None
    deviations: list[str] = field(default_factory=list)

    def add(self, way: str | None, missing: str | None, deviations: list[str]) -> None:
        """What a worker of pytest-xdist found."""
        self.way, self.missing = way or self.way, missing or self.missing
        self.deviations += [one for one in deviations if one not in self.deviations]


_OUTCOME = pytest.StashKey[_Outcome]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_OUTCOME] = _Outcome()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """What a worker of pytest-xdist found is told by the process above it."""
    found = getattr(node, "workeroutput", {}).get(_WORKERS_KEY)
    if found is not None:
        node.config.stash[_OUTCOME].add(**found)


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    outcome = session.config.stash.get(_OUTCOME, None)
    if output is not None and outcome is not None:
        output[_WORKERS_KEY] = asdict(outcome)


@pytest.fixture(scope="session")
def embedded_cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def real_clusters(pytestconfig: pytest.Config) -> Iterator[tuple[Cluster, Cluster]]:
    outcome = pytestconfig.stash[_OUTCOME]
    if outcome.missing is not None:
        _give_up(outcome)
    with ExitStack() as stack:
        try:
            pair, outcome.way = _open_pair(stack)
        except (ClusterUnavailable, ImportError) as error:
            outcome.missing = str(error)
            _give_up(outcome)
        yield pair


@pytest.fixture(scope="session")
def real_cluster(real_clusters: tuple[Cluster, Cluster]) -> Cluster:
    return real_clusters[0]


def pytest_collection_finish(session: pytest.Session) -> None:
    suite = sys.modules.get("kafkaroute.testing.conformance.suite")
    if suite is None:  # no test module uses it
        return
    from .conformance.guard import deviations

    classes = {item.cls for item in session.items if isinstance(item, pytest.Function)} - {None}
    subclasses = [each for each in classes if issubclass(each, suite.BackendConformance)]
    for each in sorted(subclasses, key=lambda each: each.__qualname__):
        for name, reason in deviations(suite.BackendConformance, each).items():
            session.config.stash[_OUTCOME].deviations.append(
                f"{each.__qualname__}.{name}: {reason}"
            )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    outcome = config.stash.get(_OUTCOME, None)
    if outcome is None:
        return
    for deviation in outcome.deviations:
        terminalreporter.write_line(
            f"kafkaroute: deviates from the suite: {deviation}", yellow=True
        )
    if outcome.way is not None:
        terminalreporter.write_line(f"kafkaroute: real Kafka: {outcome.way}")
    elif outcome.missing is not None:
        effect = "failed" if _required() else "skipped"
        terminalreporter.write_line(
            f"kafkaroute: tests on real Kafka were {effect}: {outcome.missing}", yellow=True
        )


def _required() -> bool:
    return os.environ.get(REQUIRE_KAFKA, "").strip().lower() not in {"", "0", "false", "no"}


def _give_up(outcome: _Outcome) -> NoReturn:
    if _required():
        pytest.fail(f"{REQUIRE_KAFKA} is set, but: {outcome.missing}", pytrace=False)
    pytest.skip(f"no real Kafka: {outcome.missing}")


def _open_pair(stack: ExitStack) -> tuple[tuple[Cluster, Cluster], str]:
    external = external_clusters()
    if external:
        way = f"{VARIABLE}={';'.join(each.bootstrap_servers for each in external)}"
        _warm_up(*external)
        return (external[0], external[1]), way
    # Needs trustme and platformdirs, which the two clusters above do not.
    from .kafka_install import find_kafka
    from .real_kafka import RealCluster

    installation = find_kafka()
    with ThreadPoolExecutor(2) as pool:
        starting = [pool.submit(RealCluster, installation) for _ in range(2)]
    failures = [each.exception() for each in starting]
    started = [each.result() for each in starting if each.exception() is None]
    for cluster in started:
        stack.enter_context(cluster)
    for failure in failures:
        if failure is not None:
            raise failure
    _warm_up(*started)
    return (started[0], started[1]), installation.way


def _warm_up(*clusters: Cluster) -> None:
    with ThreadPoolExecutor(len(clusters)) as pool:
        for done in [pool.submit(cluster.warm_up) for cluster in clusters]:
            done.result()
