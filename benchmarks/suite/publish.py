"""A result's pictures, and its tables between the marks in the README and docs/performance.md."""

from __future__ import annotations

from pathlib import Path

from .figure import Result
from .plot import draw
from .table import main_figures, whole

__all__ = ["between", "draw_all", "publish"]

_ROOT = Path(__file__).resolve().parents[2]


def draw_all(result: Result, stem: Path) -> list[Path]:
    """A picture for each group that has ratios: ``STEM-GROUP.svg``."""
    written = []
    for group in dict.fromkeys(figure.group for figure in result.figures):
        figures = [figure for figure in result.figures if figure.group == group and figure.ratio]
        if figures:
            path = stem.with_name(f"{stem.name}-{group.replace(' ', '-')}.svg")
            path.write_text(draw(f"{group} ({result.machine.get('broker', '')})", figures))
            written.append(path)
    return written


def publish(result: Result, path: Path) -> None:
    """Into both documents, under the name of the result's file (``embedded``, ``kafka``)."""
    name = path.stem
    pictures = draw_all(result, path.with_suffix(""))
    shown = "".join(f"![{it.stem}](../{it.resolve().relative_to(_ROOT)})\n" for it in pictures)
    _replace(_ROOT / "docs/performance.md", name, f"{whole(result)}\n{shown}")
    _replace(_ROOT / "README.md", name, main_figures(result))


def _replace(document: Path, name: str, text: str) -> None:
    old = document.read_text()
    if f"<!-- {name} -->" in old:
        document.write_text(between(old, name, text))


def between(document: str, name: str, text: str) -> str:
    """`document` with `text` between ``<!-- NAME -->`` and ``<!-- /NAME -->``."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    head, found, rest = document.partition(begin)
    _old, closed, tail = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"there are no marks {begin} … {end}")
    return f"{head}{begin}\n{text.strip()}\n{end}{tail}"
