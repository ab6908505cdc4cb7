"""What the demo shows: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from .carry import Result

COLUMNS = (
    "backend",
    "channel",
    "cluster",
    "produced",
    "consumed",
    "lost",
    "duplicated",
    "reordered",
    "msg/s",
)
TITLE = "kafka://airports.example/departures/… by airport"
#: Broken, so that the table fits into 80 columns.
_HEADINGS = {
    "cluster": "clus-\nter",
    "produced": "pro-\nduced",
    "consumed": "con-\nsumed",
    "duplicated": "dupli-\ncated",
    "reordered": "re-\nordered",
}
_NUMBERS_FROM = COLUMNS.index("produced")


def row_of(result: Result) -> tuple[str, ...]:
    return (
        result.backend,
        result.channel.rpartition("/")[2],
        result.cluster,
        *(
            f"{number:,.0f}"
            for number in (
                result.produced,
                result.consumed,
                result.lost,
                result.duplicated,
                result.reordered,
                result.rate,
            )
        ),
    )


class PlainDisplay:
    """A line now and then: for logs, pipes and terminals without `rich`."""

    interval = 2.0

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def begin(self, backend: str, flights: int) -> None:
        print(f"{backend}: {flights:,} flights through two clusters", flush=True)

    def update(self, backend: str, produced: int, consumed: int) -> None:
        now = time.monotonic()
        if now - self._said >= self.interval:
            self._said = now
            print(f"{backend}: {produced:,} delivered, {consumed:,} read", flush=True)

    def tell(self, line: str) -> None:
        print(f"  {line}", flush=True)

    def finish(self, results: Sequence[Result]) -> None:
        print(TITLE)
        rows = [COLUMNS, *(row_of(result) for result in results)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
        for number, row in enumerate(rows):
            cells = (
                cell.rjust(width) if column >= _NUMBERS_FROM else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            print("  ".join(cells))
            if number == 0:
                print("  ".join("-" * width for width in widths))


class RichDisplay:
    """Two bars per backend, then a table."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeElapsedColumn as Elapsed

        self._console = Console()
        self._progress = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            Elapsed(),
            console=self._console,
        )
        self._tasks: dict[tuple[str, str], Any] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def begin(self, backend: str, flights: int) -> None:
        for side in ("delivered", "read"):
            description = f"{backend}: {side}"
            self._tasks[backend, side] = self._progress.add_task(description, total=flights)

    def update(self, backend: str, produced: int, consumed: int) -> None:
        self._progress.update(self._tasks[backend, "delivered"], completed=produced)
        self._progress.update(self._tasks[backend, "read"], completed=consumed)

    def tell(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, style="dim")

    def finish(self, results: Sequence[Result]) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(
            title=TITLE, box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False, show_edge=False
        )
        for number, column in enumerate(COLUMNS):
            heading = _HEADINGS.get(column, column)
            table.add_column(
                heading, no_wrap=True, justify="right" if number >= _NUMBERS_FROM else "left"
            )
        for result in results:
            table.add_row(*row_of(result), style=None if result.sound else "bold red")
        self._progress.stop()
        self._console.print(table)


def choose_display() -> PlainDisplay | RichDisplay:
    """The live one where standard output is a terminal and `rich` is installed."""
    if sys.stdout.isatty():
        try:
            return RichDisplay()
        except ModuleNotFoundError:
            pass
    return PlainDisplay()
