"""The result as Markdown, beside the goals."""

from __future__ import annotations

import statistics
from typing import Any

__all__ = ["table"]

_GOAL_RATE, _GOAL_RATIO, _GOAL_P99, _GOAL_POLLS = 20_000, 0.6, 5.0, 500e6


def table(result: dict[str, Any]) -> str:
    machine, polls = result["machine"], result["polls"]
    lines = [
        (
            f"Measured {machine['measured']} on one core of: {machine['processor']}, "
            f"{machine['python']}, load before {machine['load before']}; "
            f"{result['rounds']} rounds of {result['seconds']} s, {result['connections']} connections, "
            f"{result['answer_bytes']} bytes of body. Median (least to most). "
            f"{_disturbance(result)}"
        ),
        "",
        "| | answers a second | of the raw callable | processor time | goal |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, runs in result["rates"].items():
        goal = ""
        if name == "200":
            met = runs["rates"]["median"] >= _GOAL_RATE
            above = runs["ratios"]["median"] >= _GOAL_RATIO
            goal = f"20,000/s: {_met(met)}; 0.6: {_met(above)}"
        label = "raw ASGI callable" if name == "raw" else name
        ratio = "" if name == "raw" else _spread(runs["ratios"]["runs"], ".2f")
        lines.append(
            f"| {label} | {_spread(runs['rates']['runs'], ',.0f')} | {ratio} "
            f"| {runs['microseconds']['median']:.0f} µs | {goal} |"
        )
    runs = result["latencies"]["runs"]
    p99 = statistics.median(run["p99"] for run in runs)
    each = (polls["rss"] - polls["rss_before"]) / polls["polls"]
    lines += [
        "",
        "| | | goal |",
        "| --- | --- | --- |",
        (
            f"| at {result['latencies']['asked']:,.0f}/s (open loop, {len(runs)} runs) | median "
            f"{_spread([run['median'] for run in runs], '.2f')} ms, "
            f"p99 {_spread([run['p99'] for run in runs], '.2f')} ms "
            f"| p99 < 5 ms: {_met(p99 < _GOAL_P99)} |"
        ),
        (
            f"| {polls['polls']:,} open long polls | {polls['rss'] / 1e6:.0f} MB resident "
            f"({polls['rss_before'] / 1e6:.0f} MB without any, {each / 1e3:.1f} KB each) "
            f"| < 500 MB: {_met(polls['rss'] < _GOAL_POLLS)} |"
        ),
        (
            f"| a change that all of them wait for | all told after {polls['told_after']:.1f} s; all have "
            f"asked again and poll anew after {polls['settled_after']:.1f} s: {polls['requests']:,} "
            f"requests, {polls['cpu']:.1f} s of processor time | |"
        ),
    ]
    return "\n".join(lines) + "\n"


def _disturbance(result: dict[str, Any]) -> str:
    found = result["disturbed"]
    told = f"Others used up to {100 * result['others']:.0f} % of a core beside it"
    return (
        f"{told}; {found['repeated']} runs were repeated because of that, and {found['kept']} "
        "disturbed ones are counted."
    )


def _spread(runs: list[float], form: str) -> str:
    low, middle, high = min(runs), statistics.median(runs), max(runs)
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def _met(met: bool) -> str:
    return "met" if met else "missed"
