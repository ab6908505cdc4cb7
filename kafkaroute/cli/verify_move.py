"""``kafkaroute verify-move CHANNEL``: a load on a channel while you move it, and its certificate."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError

#: Exit code where a bound does not hold.
BREACHED = 3


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "verify-move",
        help="prove that a move loses nothing",
        description="Starts processes that produce numbered messages to the channel and groups "
        "that consume them. Move the channel in your catalog meanwhile. At the end it says what "
        "was lost, unreported, duplicated, reordered or late, and the longest pauses. Messages of "
        "others in the topic are left alone; the groups are new ones, named verify-… . Settings "
        "come from these options, then KAFKAROUTE_* variables, then the TOML file. The exit code "
        f"is 0 where every bound holds and {BREACHED} where one does not.",
    )
    parser.add_argument("channels", metavar="CHANNEL", nargs="+", help="kafka://example.com/orders")
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    parser.add_argument("--profile", metavar="NAME", help="profile in that file")
    parser.add_argument(
        "--consume-profile", metavar="NAME", help="the consumers' profile, where it is another"
    )
    parser.add_argument("--catalog", metavar="URI", help="the catalog: http://…, https://…, file:…")
    load = parser.add_argument_group("the load")
    load.add_argument(
        "--producers", type=int, default=8, metavar="N", help="processes (%(default)s)"
    )
    load.add_argument("--groups", type=int, default=2, metavar="N", help="groups (%(default)s)")
    load.add_argument(
        "--members", type=int, default=2, metavar="N", help="processes in each group (%(default)s)"
    )
    load.add_argument(
        "--rate",
        default="1000",
        metavar="N",
        help="messages a second, all together, or 'max': the most that is read at once (%(default)s)",
    )
    load.add_argument(
        "--seconds", type=float, default=30.0, metavar="S", help="how long (%(default)s)"
    )
    load.add_argument("--keys", type=int, default=100, metavar="N", help="keys (%(default)s)")
    load.add_argument("--size", type=int, default=100, metavar="BYTES", help="values (%(default)s)")
    load.add_argument(
        "--commit",
        action="append",
        metavar="HOW",
        help="how a group commits: auto, store, never, or each so many messages; once for each "
        "group (auto)",
    )
    load.add_argument(
        "--start",
        choices=("latest", "earliest"),
        default="latest",
        help="where the groups start: earliest reads the topic's history (%(default)s)",
    )
    bounds = parser.add_argument_group("bounds", "the most that may be; 'any' is no bound")
    for name, default in _BOUNDS.items():
        bounds.add_argument(
            f"--bound-{name.replace('_', '-')}",
            dest=f"bound_{name}",
            default=default,
            metavar="S" if name.endswith("pause") else "N",
            help=f"{_HELP[name]} (%(default)s)",
        )
    output = parser.add_argument_group("output")
    output.add_argument("--json", metavar="FILE", help="write the certificate as JSON")
    output.add_argument("--svg", metavar="FILE", help="draw throughput and phases over time")
    parser.set_defaults(run=run)


_BOUNDS = {
    "lost": "0",
    "unreported": "0",
    "reported_twice": "0",
    "failed": "0",
    "reordered": "0",
    "reordered_late": "0",
    "duplicated": "any",
    "unexplained": "0",
    "late": "any",
    "producer_pause": "any",
    "consumer_pause": "any",
}
_HELP = {
    "lost": "reported delivered, never read by a group",
    "unreported": "accepted, never reported",
    "reported_twice": "reported more than once",
    "failed": "reported as failed",
    "reordered": "read after a later message of its producer and key",
    "reordered_late": "the same, of messages that came late",
    "duplicated": "read again by the same group",
    "unexplained": "duplicates that no rescue and no lost member explains",
    "late": "read from the old place when it was left already",
    "producer_pause": "longest time between two deliveries of a producer",
    "consumer_pause": "longest time without a message of one partition's keys",
}


def run(options: argparse.Namespace) -> int:
    from ..settings import Settings
    from ..verify import Bounds, Load, verify_move
    from ..verify.picture import draw
    from ..verify.process import WorkFailed

    rate = None if options.rate == "max" else _number("--rate", options.rate)
    load = Load(
        producers=options.producers,
        groups=options.groups,
        members=options.members,
        rate=rate,
        seconds=options.seconds,
        keys=options.keys,
        size=options.size,
        commits=tuple(options.commit or ("auto",)),
        start=options.start,
    )
    bounds = Bounds(**{name: _bound(name, getattr(options, f"bound_{name}")) for name in _BOUNDS})
    produce = _settings(options, options.profile)
    consume = _settings(options, options.consume_profile or options.profile)
    for config in (produce, consume):
        Settings.load(config)  # says what is wrong before any process starts

    def tell(_run: object) -> None:
        print(
            f"{load.producers} producers and {load.groups} groups of {load.members} for "
            f"{load.seconds:g} s: move {', '.join(options.channels)} now",
            flush=True,
        )

    try:
        certificate = verify_move(options.channels, produce, consume, load, during=tell)
    except WorkFailed as error:
        print(f"kafkaroute: {error}", file=sys.stderr)
        return 1
    for mark in certificate.marks:
        print(f"{mark.at:7.2f} s  {mark.text or mark.what}")
    print("\n".join(certificate.lines()))
    if options.json:
        Path(options.json).write_text(json.dumps(certificate.as_json()), encoding="utf-8")
    if options.svg:
        Path(options.svg).write_text(draw(certificate), encoding="utf-8")
    breaches = certificate.breaches(bounds)
    for breach in breaches:
        print(f"kafkaroute: out of bounds: {breach}", file=sys.stderr)
    return BREACHED if breaches else 0


def _settings(options: argparse.Namespace, profile: str | None) -> dict[str, Any]:
    given = {
        "config": options.config,
        "profile": profile,
        "service_gateway_uri": options.catalog,
    }
    return {key: value for key, value in given.items() if value is not None}


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigurationError(f"{option} must be a number, not {text!r}") from None


def _bound(name: str, text: str) -> Any:
    if text == "any":
        return None
    value = _number(f"--bound-{name.replace('_', '-')}", text)
    return value if name.endswith("pause") else int(value)
