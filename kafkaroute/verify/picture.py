"""A certificate's picture: throughput over time, and the phases under it, as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from .certificate import Certificate, Mark

__all__ = ["draw"]

_WIDTH = 900
_LEFT, _RIGHT, _TOP = 150, 20, 64
_CHART = 190
_LANE = 15
_INK, _FAINT = "#24292f", "#d0d7de"
_PRODUCED = "#0969da"
_GROUPS = ("#cf222e", "#bf8700", "#8250df", "#1a7f37")
_WORLD = "#6e7781"
_TICKS = {"producer": _PRODUCED, "consumer": "#cf222e"}


def draw(certificate: Certificate) -> str:
    """The picture; text and lines only, so that it can be read by people and by diff."""
    return _Picture(certificate).svg()


class _Picture:
    def __init__(self, certificate: Certificate) -> None:
        self._it = certificate
        bins = [certificate.produced, *certificate.consumed]
        last = max((max(series, default=0) for series in bins), default=0)
        ends = [mark.at for mark in certificate.marks]
        self._end = max([last / 10 + 0.1, 1.0, *ends])
        self._peak = max((max(series.values(), default=0) for series in bins), default=0) or 1
        self._lanes = _lanes(certificate.marks)
        self._parts: list[str] = []

    def svg(self) -> str:
        height = _TOP + _CHART + 34 + _LANE * len(self._lanes) + 12
        self._heading()
        self._axes()
        for group, series in reversed(list(enumerate(self._it.consumed))):
            self._series(series, _GROUPS[group % len(_GROUPS)])
        self._series(self._it.produced, _PRODUCED)
        self._world()
        self._phases()
        body = "\n".join(self._parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
            f'font-family="sans-serif" font-size="11" fill="{_INK}">\n'
            f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>\n{body}\n</svg>\n'
        )

    def _heading(self) -> None:
        it = self._it
        counts = (
            f"{it.sent:,} sent · {it.lost} lost · {it.unreported} unreported · "
            f"{it.duplicated} duplicated · {it.reordered} reordered · {it.late} late · longest "
            f"pause: producer {it.producer_pause[0]:.2f} s, consumer {it.consumer_pause[0]:.2f} s"
        )
        self._text(10, 18, f"{it.title} ({it.backend})", size=13)
        self._text(10, 35, counts)
        names = [("produced", _PRODUCED)] + [
            (f"group {group + 1}", _GROUPS[group % len(_GROUPS)])
            for group in range(len(it.consumed))
        ]
        at = _LEFT
        for name, colour in names:
            self._text(at, 52, f"— {name}", colour=colour)
            at += 90
        self._text(10, 52, "messages per 100 ms")

    def _axes(self) -> None:
        floor = _TOP + _CHART
        for share in (0.0, 0.5, 1.0):
            y = floor - share * _CHART
            self._line(_LEFT, y, _WIDTH - _RIGHT, y, _FAINT)
            self._text(_LEFT - 6, y + 4, f"{share * self._peak:,.0f}", anchor="end")
        step = next(s for s in (1, 2, 5, 10, 20, 60, 600) if self._end / s <= 20 or s == 600)
        for second in range(0, int(self._end) + 1, step):
            x = self._x(second)
            self._line(x, floor, x, floor + 4, _INK)
            self._text(x, floor + 16, f"{second} s", anchor="middle")

    def _series(self, series: Mapping[int, int], colour: str) -> None:
        if not series:
            return
        last = max(series)
        points = " ".join(
            f"{self._x(bin_ / 10):.1f},"
            f"{_TOP + _CHART - series.get(bin_, 0) / self._peak * _CHART:.1f}"
            for bin_ in range(max(0, min(series)), last + 1)
        )
        self._parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-opacity="0.8"/>'
        )

    def _world(self) -> None:
        """What the run itself did: a line through the whole chart, its words beside it."""
        row = 0
        for mark in self._it.marks:
            if mark.lane != "world":
                continue
            x = self._x(mark.at)
            bottom = _TOP + _CHART + 34 + _LANE * len(self._lanes)
            self._line(x, _TOP, x, bottom, _WORLD, dashed=True)
            side = "end" if x > _WIDTH * 0.75 else "start"
            self._text(
                x + (4 if side == "start" else -4), _TOP + 11 + 13 * (row % 4), mark.what, side
            )
            row += 1

    def _phases(self) -> None:
        top = _TOP + _CHART + 34
        for number, lane in enumerate(self._lanes):
            y = top + number * _LANE
            self._line(_LEFT, y, _WIDTH - _RIGHT, y, _FAINT)
            self._text(_LEFT - 6, y + 4, f"{lane[0]}: {lane[1]}", anchor="end")
            for mark in self._it.marks:
                if (mark.lane, mark.what) == lane:
                    x = self._x(mark.at)
                    self._line(x, y - 5, x, y + 5, _TICKS[lane[0]], title=mark.text or mark.who)

    def _x(self, seconds: float) -> float:
        return _LEFT + max(0.0, seconds) / self._end * (_WIDTH - _LEFT - _RIGHT)

    def _line(
        self,
        x1: float,
        y1: float,
        x2: float,
        y2: float,
        colour: str,
        *,
        dashed: bool = False,
        title: str = "",
    ) -> None:
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        line = (
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dash}'
        )
        end = f"><title>{escape(title)}</title></line>" if title else "/>"
        self._parts.append(line + end)

    def _text(
        self,
        x: float,
        y: float,
        text: str,
        anchor: str = "start",
        *,
        colour: str = _INK,
        size: int = 11,
    ) -> None:
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" '
            f'font-size="{size}">{escape(text)}</text>'
        )


def _lanes(marks: list[Mark]) -> list[tuple[str, str]]:
    """(lane, phase), producers first, in the order in which phases were first seen."""
    ordered = sorted((m for m in marks if m.lane != "world"), key=lambda m: m.at)
    lanes = dict.fromkeys((mark.lane, mark.what) for mark in ordered)
    return sorted(lanes, key=lambda lane: lane[0], reverse=True)
