"""A result as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from .figure import Figure, Result
from .spread import Spread

__all__ = ["main_figures", "whole"]

_HEAD = (
    "| figure | ratio (quartiles) | goal | kafkaroute | bare | CPU ratio |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def whole(result: Result) -> str:
    """All of it, a table for each group."""
    parts = [machine(result)]
    for group in dict.fromkeys(figure.group for figure in result.figures):
        own = [figure for figure in result.figures if figure.group == group]
        parts += [f"### {group[:1].upper()}{group[1:]}", "", _table(own), ""]
        notes = dict.fromkeys(f"- {figure.name}: {figure.note}" for figure in own if figure.note)
        parts += [*notes, ""] if notes else []
    if result.missing:
        parts += ["### Not measured", ""]
        parts += [f"- {name}: {reason}" for name, reason in result.missing.items()]
    return "\n".join(parts).strip() + "\n"


#: What the README shows; all the rest is in docs/performance.md.
_MAIN = (
    "produce: value, key=",
    "consume: poll() loop, value()",
    "kafka-python: value, key= delivered, against KafkaProducer, its defaults",
)


def main_figures(result: Result) -> str:
    """The three that most people ask for."""
    own = [figure for figure in result.figures if figure.key in _MAIN]
    rows = (f"| {it.key} | {_ratio(it.ratio)} | {_goal(it)} |" for it in own)
    return "\n".join(["| | ratio (quartiles) | goal |", "| --- | --- | --- |", *rows, ""])


def machine(result: Result) -> str:
    return "".join(f"- {name}: {value}\n" for name, value in result.machine.items())


def _table(figures: Iterable[Figure]) -> str:
    lines = [_HEAD]
    for figure in figures:
        against = f" ({figure.against})" if figure.against else ""
        cells = (
            figure.name,
            _ratio(figure.ratio),
            _goal(figure),
            _plain(figure.ours, figure.unit),
            _plain(figure.bare, figure.unit) + (against if figure.bare else ""),
            _ratio(figure.cpu),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _ratio(it: Spread | None) -> str:
    return "" if it is None else f"{it.median:.2f} ({it.low:.2f}–{it.high:.2f})"


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    sign = "≤" if figure.better == "lower" else "≥"
    return f"{sign} {figure.goal:g} {'reached' if figure.reached else '**missed**'}"


def _plain(it: Spread | None, unit: str) -> str:
    if it is None:
        return ""
    number = f"{it.median:,.0f}" if abs(it.median) >= 100 else f"{it.median:.3g}"
    return f"{number} {unit}".strip()
