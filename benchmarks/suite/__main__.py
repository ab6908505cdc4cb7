"""Runs the suite (`make bench`), compares two results, publishes one.

python -m benchmarks.suite run [--kafka] [--quick] [--only GROUP,…] [--out FILE]
python -m benchmarks.suite compare OLD NEW --bound 1.10
python -m benchmarks.suite publish RESULT
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path

from .compare import compare
from .figure import Result
from .machine import build, describe, load
from .publish import draw_all, publish
from .runs import BrokenMeasurement
from .servers import Servers
from .setting import GROUPS, Setting
from .table import whole

RESULTS = Path(__file__).resolve().parents[1] / "results"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.suite",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="measure, write JSON and pictures")
    run.add_argument("--kafka", action="store_true", help="on a real Apache Kafka")
    run.add_argument("--quick", action="store_true", help="a tenth of it: to see that it works")
    run.add_argument("--only", metavar="GROUP,…", help=f"of {', '.join(GROUPS)}")
    run.add_argument("--out", type=Path, help="the result's file")
    run.set_defaults(command=_run)
    check = commands.add_parser("compare", help="fail where a figure became worse")
    check.add_argument("old", type=Path)
    check.add_argument("new", type=Path)
    check.add_argument("--bound", type=_bound, required=True, help="times as bad, such as 1.10")
    check.set_defaults(command=_compare)
    show = commands.add_parser("publish", help="put a result into the README and the docs")
    show.add_argument("result", type=Path)
    show.set_defaults(command=_publish)
    options = parser.parse_args(arguments)
    return int(options.command(options))


def _bound(text: str) -> float:
    bound = float(text)
    if not bound >= 1:
        raise argparse.ArgumentTypeError("must be at least 1: how many times as bad is too bad")
    return bound


def _run(options: argparse.Namespace) -> int:
    groups = options.only.split(",") if options.only else list(GROUPS)
    if unknown := set(groups) - set(GROUPS):
        print(f"no such group: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    kind = "kafka" if options.kafka else "embedded"
    if build() != "compiled":
        kind += "-pure"
    out = options.out or RESULTS / ("tmp" if options.quick else "") / f"{kind}.json"
    with Servers(kafka=options.kafka) as servers:
        result = Result(describe(servers.kind))
        setting = Setting(servers, result, 0.1 if options.quick else 1.0)
        for group in groups:
            began = time.monotonic()
            try:
                import_module(f".{group}", __package__).measure(setting)
            except BrokenMeasurement as broken:
                print(f"{group}: the measurement is broken: {broken}", file=sys.stderr)
                return 1
            print(f"{group}: {time.monotonic() - began:.0f} s", flush=True)
    result.machine["load after"] = load()
    result.write(out)
    draw_all(result, out.with_suffix(""))
    print(whole(result))
    print(f"written to {out}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    changes = compare(Result.read(options.old), Result.read(options.new))
    worse = [change for change in changes if change.exceeds(options.bound)]
    for change in changes:
        print(f"{'WORSE ' if change in worse else '      '}{change}")
    print(f"{len(worse)} of {len(changes)} figures are more than {options.bound} times as bad")
    return 1 if worse else 0


def _publish(options: argparse.Namespace) -> int:
    publish(Result.read(options.result), options.result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
