"""Plays a scenario and judges it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafkaroute.testing.real_kafka import RealCluster
from kafkaroute.verify import Certificate, MoveRun

from .scenarios import Scenario
from .stage import Size, Stage

__all__ = ["Verdict", "play"]


@dataclass
class Verdict:
    """What came of one run: its certificate, and each bound that did not hold."""

    scenario: str
    title: str
    backend: str
    certificate: Certificate
    breaches: list[str] = field(default_factory=list)
    took: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "certificate": self.certificate.as_json()}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Verdict:
        return cls(**{**found, "certificate": Certificate.from_json(found["certificate"])})


def play(
    scenario: Scenario, backend: str, clusters: Mapping[str, RealCluster], size: Size
) -> Verdict:
    """Run `scenario` with `backend`; raises what a process of the run failed with."""
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="kafkaroute-moves-") as folder,
        Stage(backend, clusters, size, Path(folder)) as stage,
    ):
        script = scenario.script(stage)
        next(script)
        run = MoveRun(
            stage.channels,
            stage.settings("out", **scenario.produce),
            stage.settings("in", **scenario.consume),
            stage.load(**scenario.load),
            title=f"{scenario.number}. {scenario.title}",
            snapshots=stage.snapshots if scenario.snapshots else None,
        )
        check = None
        with run:
            stage.run = run
            run.start()
            try:
                next(script)
            except StopIteration as end:
                check = end.value
            certificate = run.finish()
        breaches = certificate.breaches(scenario.bounds(stage))
        if check is not None:
            breaches += check(certificate)
        stage.remove_topics()
    return Verdict(
        scenario.number,
        scenario.title,
        backend,
        certificate,
        breaches,
        round(time.monotonic() - began, 1),
    )
