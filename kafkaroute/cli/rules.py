"""``kafkaroute rules put|get|history URL``: the rules document in a database."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import ConfigurationError

_URL = "postgresql://HOST:PORT/DATABASE; user and password better as PGUSER and PGPASSWORD"


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "rules",
        help="put a rules document into a database, or look at what is there",
        description="Services that serve the same database follow every change at once.",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    put = verbs.add_parser(
        "put",
        help="check a document and put it into force",
        description="Prints what `kafkaroute check` prints; a document with problems is not put "
        "there. Makes the tables where there are none. Moves that were made through the service "
        "and do not stand in the document are kept.",
    )
    put.add_argument("url", metavar="URL", help=_URL)
    put.add_argument("rules", metavar="RULES.yaml", help="the document")
    put.add_argument("--author", help="who puts it there (the user of this machine)")
    put.add_argument("--note", default="", help="why")
    put.add_argument(
        "--expect", type=int, metavar="N", help="fail where N is not the newest version"
    )
    put.add_argument("--drop-moves", action="store_true", help="take the document as it is")
    put.set_defaults(run=_put)
    get = verbs.add_parser("get", help="print a document")
    get.add_argument("url", metavar="URL", help=_URL)
    get.add_argument("--version", type=int, metavar="N", help="which one (the newest)")
    get.set_defaults(run=_get)
    history = verbs.add_parser("history", help="list the versions, the newest first")
    history.add_argument("url", metavar="URL", help=_URL)
    history.add_argument("--limit", type=int, default=20, help="how many (%(default)s)")
    history.set_defaults(run=_history)


def _put(options: argparse.Namespace) -> int:
    from ..rules import loader as rules_loader
    from ..rules.check import check_rules
    from ..server.stores import postgres
    from .backends import installed_backends

    database = postgres.Database(options.url)
    given = rules_loader.read_document(options.rules)
    backends, broken = installed_backends()
    for why in broken:
        print(f"kafkaroute: {why}: it is not asked about profiles", file=sys.stderr)
    rules, problems, warnings = check_rules(given, options.rules, os.environ, backends)
    for line in (*problems, *(f"{warning} (warning)" for warning in warnings)):
        print(line)
    if rules is None:
        print(f"{options.rules}: not sound, not put there", file=sys.stderr)
        return 1
    kept: list[str] = []

    def edit(newest: str | None) -> str:
        if newest is None or options.drop_moves:
            return given
        text = _with_moves_of(newest, given, kept)
        rules_loader.parse_rules(text, f"{options.rules} with the moves that are kept")
        return text

    with _told(database) as connection:
        postgres.create_tables(connection)
        before, _ = postgres.newest_version(connection)
        version = postgres.change(
            connection,
            edit,
            author=options.author or getpass.getuser(),
            note=options.note,
            expect=options.expect,
        )
    for channel in kept:
        print(f"kept the move of {channel}")
    if version == before:
        print(f"{database.name}: version {version} is the same document")
    else:
        print(f"{database.name}: version {version} is in force")
    return 0


@contextmanager
def _told(database: Any) -> Iterator[Any]:
    """A connection; the database's errors are told without what they may quote."""
    import psycopg

    from ..server.stores import postgres
    from ..server.stores.store import StoreUnavailable

    try:
        with database.connect() as connection:
            yield connection
    except psycopg.Error as error:
        raise StoreUnavailable(f"{database.name} refused it ({postgres.why(error)})") from None


def _with_moves_of(newest: str, given: str, kept: list[str]) -> str:
    """`given` with the moves in `newest` of which it says nothing."""
    from ..rules.edit import moves_in, with_move
    from ..rules.model import channel_key

    kept.clear()
    own = {channel_key(channel) for channel, _ in moves_in(given)}
    for channel, move in moves_in(newest):
        if channel_key(channel) not in own:
            given = with_move(given, channel, move)
            kept.append(channel.uri)
    return given


def _get(options: argparse.Namespace) -> int:
    from ..server.stores import postgres

    with _told(postgres.Database(options.url)) as connection:
        found = postgres.document(connection, options.version)
    if found is None:
        raise ConfigurationError("there is no such version of the rules in the database")
    sys.stdout.write(found.document)
    return 0


def _history(options: argparse.Namespace) -> int:
    from ..server.stores import postgres

    with _told(postgres.Database(options.url)) as connection:
        found = postgres.versions(connection, options.limit)
    for one in found:
        print(f"{one.version:>6}  {one.at:%Y-%m-%dT%H:%M:%S%z}  {one.author}  {one.note}".rstrip())
    return 0
