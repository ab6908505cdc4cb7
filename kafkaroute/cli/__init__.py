"""The command line, ``kafkaroute``: one file per command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from .._version import __version__
from ..errors import ConfigurationError, KafkarouteError
from ..extras import how_to_get
from . import backends, check, hash_password, import_kong, resolve, rules, serve, verify_move

__all__ = ["main"]

#: Exit codes: wrong usage or configuration, and everything else that fails.
USAGE = 2
FAILURE = 1

_COMMANDS = (serve, check, rules, import_kong, resolve, verify_move, backends, hash_password)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kafkaroute",
        description="Name a Kafka channel, let the catalog say where it lives.",
    )
    parser.add_argument("--version", action="version", version=f"kafkaroute {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in _COMMANDS:
        module.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. `argv` is what follows the program's name."""
    try:
        options = _parser().parse_args(argv)
        code = options.run(options)
        sys.stdout.flush()
    except SystemExit as stop:  # argparse: usage, --help, --version
        return stop.code if isinstance(stop.code, int) else USAGE
    except (ConfigurationError, ModuleNotFoundError) as error:
        return _misused(error)
    except (KafkarouteError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # `kafkaroute … | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILURE
        return _complain(error, FAILURE)
    except KeyboardInterrupt:
        return 130
    return int(code)


def _misused(error: ConfigurationError | ModuleNotFoundError) -> int:
    if isinstance(error, ConfigurationError):
        return _complain(error, USAGE)
    if (told := how_to_get("commands about rules", error)) is None:
        raise error
    return _complain(told, USAGE)


def _complain(error: Exception | str, code: int) -> int:
    print(f"kafkaroute: {error}", file=sys.stderr)
    return code
