"""``kafkaroute hash-password``: makes the ``password_hash`` of a caller in a rules file."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any

from ..errors import ConfigurationError


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "hash-password",
        help="hash a caller's password for a rules file",
        description="Asks for a password (or reads one line of standard input) and prints its "
        "hash. A password is no argument: those are seen by every user of the machine.",
    )
    parser.set_defaults(run=run)


def run(_options: argparse.Namespace) -> int:
    from ..rules.passwords import hash_password

    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if password != getpass.getpass("Again: "):
            raise ConfigurationError("the two passwords differ")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise ConfigurationError("the password is empty")
    print(hash_password(password))
    return 0
