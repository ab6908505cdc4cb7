"""Pictures of a result as SVG: for each figure its median, quartiles and goal."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .figure import Figure

__all__ = ["draw"]

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW = 900, 330, 110, 56, 24
_INK, _FAINT, _GOOD, _BAD, _GOAL = "#24292f", "#d0d7de", "#0969da", "#cf222e", "#1a7f37"


def draw(title: str, figures: Sequence[Figure]) -> str:
    """Figures that are ratios, a line each; 1.0 is the bare client."""
    shown = [(figure, figure.ratio) for figure in figures if figure.ratio is not None]
    end = max([1.2, *(ratio.high for _, ratio in shown), *(f.goal or 0 for f, _ in shown)]) * 1.05
    height = _TOP + _ROW * len(shown) + 30
    bottom = height - 26

    def x(value: float) -> float:
        return _LEFT + value / end * (_WIDTH - _LEFT - _RIGHT)

    parts = [
        _text(10, 18, title, size=13),
        _text(10, 36, "ratio to the bare client: median, quartiles; green: the goal"),
    ]
    step = next(s for s in (0.25, 0.5, 1, 2, 5, 10, 50, 100, 1000) if end / s <= 12 or s == 1000)
    for number in range(int(end / step) + 1):
        value = number * step
        colour = _INK if value == 1 else _FAINT
        parts += [
            _line(x(value), _TOP - 8, x(value), bottom, colour),
            _text(x(value), bottom + 16, f"{value:g}", anchor="middle"),
        ]
    for row, (figure, ratio) in enumerate(shown):
        y = _TOP + _ROW * row + 8
        colour = _BAD if figure.reached is False else _GOOD
        sign = "≤" if figure.better == "lower" else "≥"
        goal = "" if figure.goal is None else f" ({sign} {figure.goal:g})"
        parts += [
            _text(_LEFT - 8, y + 4, figure.name, anchor="end"),
            _line(x(ratio.low), y, x(ratio.high), y, colour, width=5),
            f'<circle cx="{x(ratio.median):.1f}" cy="{y}" r="5" fill="{colour}"/>',
            _text(_WIDTH - _RIGHT + 8, y + 4, f"{ratio.median:.2f}{goal}"),
        ]
        if figure.goal is not None:
            parts.append(_line(x(figure.goal), y - 9, x(figure.goal), y + 9, _GOAL, width=2))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'font-family="sans-serif" font-size="11" fill="{_INK}">\n'
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, width: int = 1) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width}"/>'
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(text)}</text>"
    )
