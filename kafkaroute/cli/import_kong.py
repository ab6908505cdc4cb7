"""``kafkaroute import-kong kong.yml``: the existing service's configuration as a rules file."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError

#: Exit code where something needs a hand.
NEEDS_A_HAND = 3


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "import-kong",
        help="turn a Kong file with the service-gateway plug-in into rules",
        description="What cannot be translated is listed on standard error and stands as a "
        f"comment in the result; the exit code is then {NEEDS_A_HAND}.",
    )
    parser.add_argument("kong", metavar="kong.yml", help="Kong's declarative file")
    parser.add_argument(
        "-o", "--output", metavar="RULES.yaml", help="where to write (standard output)"
    )
    parser.add_argument(
        "--plugin", type=int, metavar="N", help="which instance of the plug-in, from 1"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from .kong.convert import convert

    try:
        text = Path(options.kong).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot read {options.kong}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{options.kong} is not UTF-8 text") from None
    result = convert(text, options.kong, options.plugin)
    if options.output is None:
        sys.stdout.write(result.text)
    else:
        _write(options.output, result.text)
    for note in result.notes:
        print(f"kafkaroute: needs a hand: {note}", file=sys.stderr)
    return NEEDS_A_HAND if result.notes else 0


def _write(path: str, text: str) -> None:
    """Kafka credentials may stand in it: nobody else may read it, and nothing is overwritten."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(f"{path} is there already") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
