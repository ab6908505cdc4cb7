"""``kafkaroute backends``: what is installed, without importing any of it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..plugins import BACKENDS, installed


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
            }
            for plugin in found
        ]
        print(json.dumps(rows, indent=2))
        return 0
    if not found:
        print("no backend is installed; try: pip install 'kafkaroute[confluent]'")
        return 0
    width = max(len(plugin.name) for plugin in found)
    for plugin in found:
        print(f"{plugin.name:<{width}}  {plugin.distribution} {plugin.version}  ({plugin.value})")
    return 0
