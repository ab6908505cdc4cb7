"""What one process of the catalog service carries on one core; the results of docs/operations.md.

The service and a raw ASGI callable that answers the same bytes under the same server run one after
the other on one core, and what asks them on another. Rounds are interleaved; a ratio is of two
neighbouring runs. A run during which others used more than 6 % of either core is repeated, until
the patience is used up; what stays disturbed is told. Needs Linux, two cores, wrk and `pip install 'kafkaroute[server]'`.

    python -m benchmarks.catalog_service [--rounds 7] [--seconds 5] [--json FILE] [--table FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.suite.machine import describe

from . import serving, wrk
from .many_polls import many_polls
from .open_loop import latencies
from .quiet import Patience
from .serving import Process
from .table import table

RATE = 20_000.0
CONNECTIONS = 32


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.catalog_service")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=5, help="of each run (%(default)s)")
    parser.add_argument("--polls", type=int, default=10_000, help="open at once (%(default)s)")
    parser.add_argument(
        "--rate", type=float, default=RATE / 2, help="for the latencies (%(default)s)"
    )
    parser.add_argument("--core", type=int, default=0, help="that is measured (%(default)s)")
    parser.add_argument("--driver", type=int, default=1, help="core that asks (%(default)s)")
    parser.add_argument(
        "--patience",
        type=float,
        default=600,
        help="seconds for repeating runs that others disturbed (%(default)s)",
    )
    parser.add_argument("--json", type=Path, help="write the result there")
    parser.add_argument("--table", type=Path, help="put the table into this document")
    options = parser.parse_args()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if files < options.polls + 200:
        parser.error(f"{options.polls} polls need more open files than {files} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    os.sched_setaffinity(0, {options.driver})
    machine = _machine()
    with tempfile.TemporaryDirectory() as folder:
        result = _measured(options, Path(folder)) | {"machine": machine}
    print(table(result))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if options.table is not None:
        _put(options.table, table(result))


def _machine() -> dict[str, str]:
    told = describe("")
    return {key: told[key] for key in ("measured", "processor", "system", "python", "load before")}


def _measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    rules, core = folder / "rules.yaml", options.core
    patience = Patience(core, options.driver, options.patience)
    serving.write_rules(rules)
    audit = ("--history", str(folder / "history"), "--audit", str(folder / "audit"))
    with serving.service(rules, core) as service, serving.service(rules, core, *audit) as audited:
        etag = serving.keep_answer(service, folder / "answer")
        audited.ask()
        known = serving.HEADERS | {"If-None-Match": etag}
        plain = wrk.script(folder / "plain.lua", serving.HEADERS)
        with serving.raw(folder / "answer", core) as raw:
            cases = {
                "raw": (raw, plain),
                "200": (service, plain),
                "200, audit log": (audited, plain),
                "200, many client names": (
                    service,
                    wrk.script(folder / "names.lua", serving.HEADERS, names=True),
                ),
                "304": (service, wrk.script(folder / "known.lua", known)),
            }
            rates = _rates(cases, options, patience)
        slow = [
            dataclasses.asdict(
                patience.run(
                    [service],
                    lambda: latencies(service, rate=options.rate, seconds=options.seconds),
                )
            )
            for _ in range(3)
        ]
        print(*slow, sep="\n", flush=True)
    with serving.service(rules, core) as service:
        service.ask()
        polls = dataclasses.asdict(many_polls(service, rules, options.polls, etag))
    lines = (folder / "audit").read_bytes().count(b"\n")
    return {
        "rounds": options.rounds,
        "seconds": options.seconds,
        "connections": CONNECTIONS,
        "answer_bytes": len(json.loads((folder / "answer").read_text())["body"]),
        "rates": rates,
        "latencies": {"asked": options.rate, "runs": slow},
        "polls": polls,
        "audit_lines": lines,
        "disturbed": {"repeated": patience.disturbed, "kept": patience.kept},
        "others": max(patience.others),
    }


def _rates(
    cases: dict[str, Any], options: argparse.Namespace, patience: Patience
) -> dict[str, Any]:
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(options.rounds + 1):
        seconds = options.seconds if number else 1
        raw = 0.0
        for name, (process, script) in cases.items():

            def run(
                process: Process = process, script: Path = script, seconds: int = seconds
            ) -> tuple[float, float]:
                spent = process.cpu()
                rate = wrk.rate(
                    process, script, options.driver, seconds=seconds, connections=CONNECTIONS
                )
                return rate, process.cpu() - spent

            rate, spent = patience.run([process], run) if number else run()
            raw = rate if name == "raw" else raw
            if number:  # the first warms up
                found[name]["rates"].append(round(rate))
                found[name]["ratios"].append(round(rate / raw, 3))
                found[name]["microseconds"].append(round(1e6 * spent / (rate * seconds), 1))
        if number:
            print(*(f"{name}: {runs['rates'][-1]}/s" for name, runs in found.items()), flush=True)
    return {
        name: {key: {"median": statistics.median(runs), "runs": runs} for key, runs in of.items()}
        for name, of in found.items()
    }


def _put(document: Path, text: str) -> None:
    begin, end = "<!-- measured -->\n", "<!-- /measured -->\n"
    before, _, rest = document.read_text().partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{document} has no place for the table")
    document.write_text(f"{before}{begin}{text}{end}{after}")


if __name__ == "__main__":
    main()
