"""``kafkaroute check RULES.yaml``: everything that is wrong with a rules file, for CI."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "check",
        help="check a rules file",
        description="Prints every problem with file, line and key path. The exit code is 0 where "
        "there is none, 1 where there is, 2 where the file cannot be read.",
    )
    parser.add_argument("rules", metavar="RULES.yaml", nargs="?", help="the rules")
    parser.add_argument("--strict", action="store_true", help="warnings are problems, too")
    parser.add_argument(
        "--schema", action="store_true", help="print the JSON Schema of rules files and stop"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.schema:
        from ..rules.loader import json_schema

        print(json.dumps(json_schema(), indent=2))
        return 0
    if options.rules is None:
        raise ConfigurationError("check needs the path of a rules file")
    text = _text_of(options.rules)
    from ..rules.check import check_rules
    from .backends import installed_backends

    backends, broken = installed_backends()
    for why in broken:
        print(f"kafkaroute: {why}: it is not asked about profiles", file=sys.stderr)
    rules, problems, warnings = check_rules(text, options.rules, os.environ, backends)
    for problem in problems:
        print(problem)
    for warning in warnings:
        print(f"{warning} (warning)")
    if rules is None:
        print(f"{options.rules}: {_count(len(problems), 'problem')}", file=sys.stderr)
        return 1
    counts = [
        _count(len(rules.clusters), "cluster"),
        _count(sum(len(cluster.rules) for cluster in rules.clusters), "rule"),
        _count(len(rules.profiles), "profile"),
        _count(len(rules.callers), "caller"),
    ]
    if rules.moves:
        counts.append(_count(len(rules.moves), "moved channel"))
    failed = bool(warnings) and options.strict
    verdict = "not sound (--strict)" if failed else "sound"
    summary = f"{options.rules}: {verdict}: {', '.join(counts)}"
    if warnings:
        summary += f"; {_count(len(warnings), 'warning')}"
    print(summary, file=sys.stderr if failed else sys.stdout)
    return 1 if failed else 0


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8 text") from None


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
