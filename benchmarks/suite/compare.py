"""The regression check: what became worse from one result to another."""

from __future__ import annotations

from dataclasses import dataclass

from .figure import Result

__all__ = ["Change", "compare"]


@dataclass(frozen=True)
class Change:
    """One figure in two results.

    Attributes:
        worse: how many times worse the new median is; below 1 it is better. None where the new
            result does not have the figure.
    """

    key: str
    old: float
    new: float | None
    worse: float | None

    def exceeds(self, bound: float) -> bool:
        """A figure that is gone counts as well: nobody can say that it did not become worse."""
        return self.worse is None or self.worse > bound

    def __str__(self) -> str:
        if self.new is None or self.worse is None:
            return f"{self.key}: was {self.old:.3g}, is missing"
        return f"{self.key}: {self.old:.3g} → {self.new:.3g} ({self.worse:.3f} times as bad)"


def compare(old: Result, new: Result) -> list[Change]:
    """Every figure of `old`, the worst first."""
    found = {figure.key: figure for figure in new.figures}
    changes = []
    for figure in old.figures:
        before = figure.shown.median
        later = found.get(figure.key)
        if later is None:
            changes.append(Change(figure.key, before, None, None))
            continue
        after = later.shown.median
        changes.append(Change(figure.key, before, after, _worse(before, after, figure.better)))
    return sorted(changes, key=lambda it: float("inf") if it.worse is None else it.worse)[::-1]


def _worse(before: float, after: float, better: str) -> float:
    good, bad = (before, after) if better == "lower" else (after, before)
    if bad == good:
        return 1.0
    return bad / good if good > 0 else float("inf")
