"""Figures made of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .figure import Figure
from .runs import Sample
from .spread import ratios, spread

__all__ = ["cpu_figure", "per_call_figure", "rate_figure"]


def per_call_figure(
    group: str, name: str, ours: Sequence[Sample], bare: Sequence[Sample], **more: Any
) -> Figure:
    """Nanoseconds a call; lower is better."""
    mine, theirs = [it.per_call for it in ours], [it.per_call for it in bare]
    return Figure(
        group,
        name,
        "ns",
        spread(mine),
        bare=spread(theirs),
        ratio=ratios(mine, theirs),
        collections=_collections(ours, bare),
        **more,
    )


def rate_figure(
    group: str, name: str, ours: Sequence[Sample], bare: Sequence[Sample], **more: Any
) -> Figure:
    """Units a second, and the CPU of the whole process for them; higher is better."""
    mine, theirs = [it.rate for it in ours], [it.rate for it in bare]
    return Figure(
        group,
        name,
        more.pop("unit", "msg/s"),
        spread(mine),
        better="higher",
        bare=spread(theirs),
        ratio=ratios(mine, theirs),
        cpu=ratios([it.cpu for it in ours], [it.cpu for it in bare]),
        collections=_collections(ours, bare),
        **more,
    )


def cpu_figure(
    group: str, name: str, ours: Sequence[Sample], bare: Sequence[Sample], **more: Any
) -> Figure:
    """Microseconds of CPU a unit, of the whole process; lower is better."""
    mine, theirs = [it.cpu * 1e6 for it in ours], [it.cpu * 1e6 for it in bare]
    return Figure(
        group,
        name,
        "µs",
        spread(mine),
        bare=spread(theirs),
        ratio=ratios(mine, theirs),
        collections=_collections(ours, bare),
        **more,
    )


def _collections(*sides: Sequence[Sample]) -> int:
    return sum(it.collections for side in sides for it in side)
