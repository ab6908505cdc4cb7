"""``kafkaroute resolve CHANNEL``: where a channel lives, its secrets masked."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "resolve",
        help="ask the catalog where a channel lives",
        description="Settings come from these options, then KAFKAROUTE_* variables, then the "
        "TOML file. Give a password as KAFKAROUTE_BASIC_AUTH=user:password.",
    )
    parser.add_argument("channel", metavar="CHANNEL", help="such as kafka://example.com/orders")
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    parser.add_argument("--profile", metavar="NAME", help="profile in that file")
    parser.add_argument("--catalog", metavar="URI", help="the catalog: http://…, https://…, file:…")
    parser.add_argument("--config-profile", metavar="NAME", help="configuration profile to ask for")
    parser.add_argument("--intent", choices=("produce", "consume"), default="", help="what for")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from ..resolver import resolve

    given = {
        "config": options.config,
        "profile": options.profile,
        "service_gateway_uri": options.catalog,
        "config_profile": options.config_profile,
    }
    config = {key: value for key, value in given.items() if value is not None}
    shown = resolve(options.channel, config, options.intent).masked()
    if options.json:
        print(json.dumps(shown, indent=2))
    else:
        for name, value in shown.items():
            if not isinstance(value, Mapping):
                print(f"{name:<14} {value}")
                continue
            print(name)
            for key, item in value.items():
                print(f"  {key} = {json.dumps(item)}")
    return 0
