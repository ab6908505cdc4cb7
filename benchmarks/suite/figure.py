"""One figure of the suite, and a whole result."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from .spread import Spread

__all__ = ["Figure", "Result"]

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Figure:
    """What was measured.

    Attributes:
        group, name: together the identity by which results are compared.
        unit: of `ours` and `bare`.
        better: which direction of `ratio` (or of `ours`, where there is none) is better.
        against: what `bare` is.
        ratio: ours to bare, over interleaved runs.
        cpu: the same of the whole process's CPU time, all threads.
        goal: bound of the ratio (or of `ours`, where there is none).
        collections: garbage collections while runs were timed.
    """

    group: str
    name: str
    unit: str
    ours: Spread
    better: Better = "lower"
    against: str = ""
    bare: Spread | None = None
    ratio: Spread | None = None
    cpu: Spread | None = None
    goal: float | None = None
    collections: int = 0
    note: str = ""

    @property
    def key(self) -> str:
        return f"{self.group}: {self.name}"

    @property
    def shown(self) -> Spread:
        """What the figure is judged and compared by."""
        return self.ours if self.ratio is None else self.ratio

    @property
    def reached(self) -> bool | None:
        """Whether the median keeps the goal; None where there is none."""
        if self.goal is None:
            return None
        median = self.shown.median
        return median <= self.goal if self.better == "lower" else median >= self.goal

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Figure:
        spreads = {
            name: Spread(**found[name])
            for name in ("ours", "bare", "ratio", "cpu")
            if found.get(name) is not None
        }
        return cls(**{**found, **spreads})

    def as_json(self) -> dict[str, Any]:
        found = asdict(self)
        for name in ("ours", "bare", "ratio", "cpu"):
            it = getattr(self, name)
            found[name] = None if it is None else it._asdict()
        return found


@dataclass
class Result:
    """One run of the suite.

    Attributes:
        machine: what it ran on, the versions included.
        missing: what was not measured, by name, and why.
    """

    machine: dict[str, Any]
    figures: list[Figure] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        found = {
            "machine": self.machine,
            "figures": [figure.as_json() for figure in self.figures],
            "missing": self.missing,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Result:
        found = json.loads(path.read_text())
        figures = [Figure.from_json(each) for each in found["figures"]]
        return cls(found["machine"], figures, found["missing"])
