"""Every scenario of docs/moves.md in small, on two real clusters, with both backends.

Scenarios that kill no broker play side by side, as they mostly wait.
"""

from __future__ import annotations

import importlib
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from kafkaroute.testing.real_kafka import RealCluster
from kafkaroute.verify.picture import draw

ROOT = Path(__file__).parents[2]
BACKENDS = ("confluent-kafka", "kafka-python")
#: Runs that are under way at the same time.
SIDE_BY_SIDE = 3


def _proof(name):
    """A module of the proof, which lies beside the tests and is no package that is installed."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    return importlib.import_module(f"benchmarks.moves.{name}")


SCENARIOS = _proof("scenarios").SCENARIOS
ALONE = [number for number, scenario in SCENARIOS.items() if scenario.alone]
BESIDE = [number for number in SCENARIOS if number not in ALONE]

pytestmark = [
    pytest.mark.kafka,
    # The first one of the module waits for nearly all.
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def play(real_clusters):
    if not all(isinstance(cluster, RealCluster) for cluster in real_clusters):
        pytest.skip("the user's clusters cannot be stopped and started")
    clusters = dict(zip("AB", real_clusters, strict=True))

    def play_one(number, backend):
        return _proof("play").play(SCENARIOS[number], backend, clusters, _proof("stage").SMALL)

    return play_one


@pytest.fixture(scope="module")
def verdicts(request, play):
    """(scenario, backend) → the verdict to come, of what was selected."""
    selected = [
        (item.callspec.params["number"], item.callspec.params["backend"])
        for item in request.session.items
        if item.module is request.module and "verdicts" in getattr(item, "fixturenames", ())
    ]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        futures: dict[tuple[str, str], Future] = {
            pair: pool.submit(play, *pair) for pair in selected
        }
        yield futures
        for future in futures.values():
            future.cancel()


def judge(verdict, again, tmp_path):
    """Fails where a bound does not hold. Pauses belong to the machine, too, which other runs and
    other people use: where they alone are too long, they are measured once more."""
    if verdict.breaches and all(" pause: " in breach for breach in verdict.breaches):
        verdict = again()
    (tmp_path / "picture.svg").write_text(draw(verdict.certificate), encoding="utf-8")
    certificate = verdict.certificate
    story = [f"{mark.at:7.2f} s  {mark.text or mark.what}" for mark in certificate.marks]
    assert not verdict.breaches, "\n".join([*verdict.breaches, *certificate.lines(), *story])


@pytest.mark.parametrize("number", BESIDE)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_move_keeps_what_it_promises(verdicts, play, number, backend, tmp_path):
    judge(verdicts[number, backend].result(), lambda: play(number, backend), tmp_path)


@pytest.mark.parametrize("number", ALONE)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_move_with_a_broker_or_a_password_gone_keeps_what_it_promises(
    play, number, backend, tmp_path
):
    judge(play(number, backend), lambda: play(number, backend), tmp_path)
