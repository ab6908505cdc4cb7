"""``kafkaroute backends``: what is installed, without importing any of it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from .._version import __version__
from ..compiled import build_of, compiled_modules
from ..plugins import BACKENDS, Plugin, installed


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("backends", help="list the installed backends")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    found = installed(BACKENDS)
    if options.json:
        rows = [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "value": plugin.value,
                "compiled": bool(compiled_modules(_package(plugin))),
            }
            for plugin in found
        ]
        print(json.dumps(rows, indent=2))
        return 0
    if not found:
        print("no backend is installed; try: pip install 'kafkaroute[confluent]'")
    width = max((len(plugin.name) for plugin in found), default=0)
    for plugin in found:
        build = build_of(_package(plugin))
        where = f"{plugin.distribution} {plugin.version}  ({plugin.value})  {build}"
        print(f"{plugin.name:<{width}}  {where}")
    print(f"kafkaroute {__version__} itself: {build_of('kafkaroute')}")
    return 0


def _package(plugin: Plugin) -> str:
    return plugin.value.partition(":")[0].partition(".")[0]
