"""The table of docs/moves.md, from the results that are there."""

from __future__ import annotations

import json
from pathlib import Path

from .play import Verdict
from .scenarios import SCENARIOS

__all__ = ["write_table"]

_BEGIN, _END = "<!-- table: begin -->", "<!-- table: end -->"
_BACKENDS = ("confluent-kafka", "kafka-python")
_HEAD = (
    "| scenario | backend | sent | lost | unreported | twice | duplicated | reordered | late "
    "| producer pause | consumer pause | |\n"
    "| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --- |"
)
_RATES = {
    "1000": "1,000 messages a second",
    "max": "The highest rate",
    "small": "In small: 2 producers, a group of 2, 200 messages a second",
}


def write_table(docs: Path) -> None:
    """Put the table into ``moves.md`` of `docs`, between its marks; without the page, print it."""
    parts = [_part(docs / "moves", rate) for rate in _RATES]
    text = "\n\n".join(part for part in parts if part)
    page = docs / "moves.md"
    if not page.exists():
        print(text)
        return
    before, begin, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        print(text)
        return
    page.write_text(f"{before}{_BEGIN}\n\n{text}\n\n{_END}{after}", encoding="utf-8")


def _part(folder: Path, rate: str) -> str:
    rows, missing = [], []
    for number, scenario in SCENARIOS.items():
        for backend in _BACKENDS:
            path = folder / "results" / f"{number}-{backend}-{rate}.json"
            name = f"{number}. {scenario.title}"
            if not path.exists():
                missing.append(f"{number} ({backend})")
                continue
            verdict = Verdict.from_json(json.loads(path.read_text(encoding="utf-8")))
            rows.append(_row(verdict, name, f"moves/{path.stem}.svg"))
    if not rows:
        return ""
    text = "\n".join([f"### {_RATES[rate]}", "", _HEAD, *rows])
    return f"{text}\n\nNot run: {', '.join(missing)}." if missing else text


def _row(verdict: Verdict, name: str, picture: str) -> str:
    it = verdict.certificate
    late = f"{it.reordered:,}" + (f" (+ {it.reordered_late:,} late)" if it.reordered_late else "")
    cells = [
        f"[{name}]({picture})",
        verdict.backend,
        f"{it.sent:,}",
        f"{it.lost:,}",
        f"{it.unreported:,}",
        f"{it.reported_twice:,}",
        f"{it.duplicated:,}",
        late,
        f"{it.late:,}",
        f"{it.producer_pause[0]:.2f} s",
        f"{it.consumer_pause[0]:.2f} s",
        "; ".join(f"**{breach}**" for breach in verdict.breaches) or _remark(verdict),
    ]
    return f"| {' | '.join(cells)} |"


def _remark(verdict: Verdict) -> str:
    remark = SCENARIOS[verdict.scenario].remark
    it = verdict.certificate
    if not remark and it.duplicated:
        kinds = {"rescued": it.written_twice, "read again": it.read_again}
        remark = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)
    return f"ok ({remark})" if remark else "ok"
