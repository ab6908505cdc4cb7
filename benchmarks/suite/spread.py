"""Medians and quartiles: no figure is shown without its spread."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Spread", "ratios", "spread"]


class Spread(NamedTuple):
    """The middle of several runs, and where half of them lie."""

    median: float
    low: float
    high: float
    runs: int


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles (of the values themselves: nothing is extrapolated)."""
    if not values:
        raise ValueError("no runs, no figure")
    if len(values) == 1:
        return Spread(values[0], values[0], values[0], 1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high, len(values))


def ratios(ours: Sequence[float], bare: Sequence[float]) -> Spread:
    """Of neighbouring runs, so that a machine that slows down slows both sides of each."""
    return spread([a / b for a, b in zip(ours, bare, strict=True)])
