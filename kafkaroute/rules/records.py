"""The history of rules as it is kept: one record for each change of where channels live.

A record is a line of JSON and tells only what changed::

    {"version": 7, "at": "2026-03-01T12:00:00+00:00",
     "order": ["east", "west"], "clusters": {"west": {…}},
     "tables": {"east": {"0": {"eu": "orders-eu", "us": null}}},
     "moves": {"kafka://example.com/orders": {"cluster": "west", "topic": "orders"}, …: null}}

`order` stands in it where clusters changed by more than the entries of tables, with those that did;
`tables` has entries by cluster and number of the rule. What ceased to be is null. A record with
``"whole": true`` tells everything, whatever stands before it. There are no credentials in it, but a
cluster's connection may hold what its author wrote.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import yaml

from ..channel import Channel
from ..errors import KafkarouteError
from .history import Entry, EntryKey, Epoch, History, Moved
from .loader import parse_rules
from .model import ChannelKey, Cluster, Lookup, Move, Target, channel_key

__all__ = [
    "HistoryBuilder",
    "Routing",
    "first_record",
    "folded",
    "halved",
    "next_record",
    "routing_in",
]

_log = logging.getLogger("kafkaroute.catalog.rules")
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: Parts of a cluster that say nothing about where a channel lives.
_IRRELEVANT = frozenset({"schema_registry"})

#: {"order": cluster names, "clusters": by name, "moves": by channel}, plain JSON data.
Routing = Mapping[str, Any]


def routing_in(text: str) -> Routing:
    """The part of a rules document, known to be sound, that says where channels live."""
    document = yaml.load(text, Loader=_Loader)  # noqa: S506  # a safe loader
    clusters = {
        cluster["name"]: {key: cluster[key] for key in cluster if key not in _IRRELEVANT}
        for cluster in document["clusters"]
    }
    moves = {}
    for move in document.get("moves") or ():
        kept = {key: move[key] for key in move if key not in {"channel", "at"}}
        moves[move["channel"]] = kept
    data = {"order": list(clusters), "clusters": clusters, "moves": moves}
    return dict(json.loads(json.dumps(data, default=_time)))


def _time(value: object) -> str:
    """YAML reads times as such; one without a zone is UTC."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _record(version: int, at: datetime, changed: Mapping[str, Any]) -> str:
    return json.dumps({"version": version, "at": at.isoformat(), **changed}, ensure_ascii=False)


def first_record(version: int, at: datetime, routing: Routing) -> str:
    return _record(version, at, {"whole": True, **routing})


def next_record(version: int, at: datetime, before: Routing, after: Routing) -> str | None:
    """What changed; None where every channel lives where it did."""
    changed: dict[str, Any] = {}
    clusters: dict[str, Any] = {}
    tables: dict[str, Any] = {}
    for name, cluster in after["clusters"].items():
        known = before["clusters"].get(name)
        if known == cluster:
            continue
        if known is not None and _without_tables(known) == _without_tables(cluster):
            tables[name] = _changed_entries(known, cluster)
        else:
            clusters[name] = cluster
    if clusters or before["order"] != after["order"]:
        changed |= {"order": after["order"], "clusters": clusters}
    if tables:
        changed["tables"] = tables
    moves = {
        channel: after["moves"].get(channel)
        for channel in {**before["moves"], **after["moves"]}
        if before["moves"].get(channel) != after["moves"].get(channel)
    }
    if moves:
        changed["moves"] = moves
    return _record(version, at, changed) if changed else None


def _tables(cluster: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By the number of the rule, as text."""
    return {
        str(number): rule["lookup"]["table"]
        for number, rule in enumerate(cluster["rules"])
        if "lookup" in rule
    }


def _without_tables(cluster: Mapping[str, Any]) -> dict[str, Any]:
    return _with_tables(cluster, {number: {} for number in _tables(cluster)})


def _with_tables(cluster: Mapping[str, Any], tables: Mapping[str, Any]) -> dict[str, Any]:
    rules = list(cluster["rules"])
    for number, table in tables.items():
        rule = rules[int(number)]
        rules[int(number)] = {**rule, "lookup": {**rule["lookup"], "table": table}}
    return {**cluster, "rules": rules}


def _changed_entries(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    known = _tables(before)
    found = {}
    for number, table in _tables(after).items():
        old = known[number]
        keys = [key for key in {**old, **table} if old.get(key) != table.get(key)]
        if keys:
            found[number] = {key: table.get(key) for key in keys}
    return found


def _merged(table: Mapping[str, Any], entries: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**table, **entries}.items() if value is not None}


def folded(records: Iterable[str]) -> Routing:
    """The routing that `records` lead to; they can be read from the last whole one on."""
    order: list[str] = []
    clusters: dict[str, Any] = {}
    moves: dict[str, Any] = {}
    for record in _from_the_last_whole(records):
        if "order" in record:
            order = record["order"]
            clusters = {**clusters, **record["clusters"]}
        for name, changed in record.get("tables", {}).items():
            known = _tables(clusters[name])
            tables = {number: _merged(known[number], new) for number, new in changed.items()}
            clusters[name] = _with_tables(clusters[name], tables)
        for channel, move in record.get("moves", {}).items():
            moves.pop(channel, None)
            if move is not None:
                moves[channel] = move
    return {"order": order, "clusters": {name: clusters[name] for name in order}, "moves": moves}


def _from_the_last_whole(records: Iterable[str]) -> Iterator[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for text in records:
        try:
            record = json.loads(text)
        except ValueError:
            continue
        if record.get("whole"):
            found.clear()
        found.append(record)
    return iter(found)


def halved(records: Sequence[str]) -> tuple[int, str]:
    """What may take the place of the older half: a version, and a record that tells all that the
    records up to it led to."""
    cut = len(records) // 2
    last = json.loads(records[cut])
    version, at = int(last["version"]), datetime.fromisoformat(last["at"])
    return version, first_record(version, at, folded(records[: cut + 1]))


class HistoryBuilder:
    """Reads records, oldest first, into a :class:`History`.

    Attributes:
        version, at: of the last record; 0 and the beginning of time before the first.
        is_sound: every record since the last whole one could be read.
    """

    def __init__(self, records: Iterable[str] = ()) -> None:
        self.version = 0
        self.at = datetime.min.replace(tzinfo=UTC)
        self.is_sound = False
        self._epochs: list[Epoch] = []
        #: Of the last epoch; those of the others are in it.
        self._entries: dict[EntryKey, tuple[Entry, ...]] = {}
        self._moved: dict[ChannelKey, tuple[Moved, ...]] = {}
        self._clusters: dict[str, Cluster] = {}
        for record in records:
            self.add(record)

    def add(self, text: str) -> None:
        """What this release cannot read is logged, and nothing is known up to a whole record."""
        try:
            record = json.loads(text)
            self.version = int(record["version"])
            self.at = datetime.fromisoformat(record["at"])
            if record.get("whole") and not self.is_sound:
                self.is_sound = True
            if self.is_sound:
                self._add(record)
        except (ValueError, KeyError, TypeError, AttributeError, KafkarouteError) as error:
            _log.error("a record of earlier rules cannot be read (%s)", type(error).__name__)
            self.is_sound = False
            self._epochs, self._moved, self._clusters, self._entries = [], {}, {}, {}

    def _add(self, record: Mapping[str, Any]) -> None:
        for name, tables in record.get("tables", {}).items():
            for number, entries in tables.items():
                for key, data in entries.items():
                    place = (name, int(number), key)
                    target = None if data is None else _target(data)
                    known = self._entries.get(place, ())
                    self._entries[place] = (*known, Entry(self.version, self.at, target))
        if "order" in record:
            self._begin_epoch(record)
        for uri, data in record.get("moves", {}).items():
            channel = Channel.parse(uri)
            key = channel_key(channel)
            move = None if data is None else _move(channel, data)
            self._moved[key] = (
                *self._moved.get(key, ()),
                Moved(self.version, self.at, move),
            )

    def _begin_epoch(self, record: Mapping[str, Any]) -> None:
        if self._epochs:
            self._epochs[-1] = self._epochs[-1]._replace(entries=self._entries)
        for name, cluster in self._clusters.items():
            self._clusters[name] = _up_to_date(cluster, self._entries)
        for name, data in record["clusters"].items():
            self._clusters[name] = _cluster(data)
        clusters = tuple(self._clusters[name] for name in record["order"])
        self._entries = {}
        self._epochs.append(Epoch(self.version, self.at, clusters, self._entries))

    def history(self) -> History:
        """What was read so far; later records do not change it."""
        epochs = list(self._epochs)
        if epochs:
            epochs[-1] = epochs[-1]._replace(entries=dict(self._entries))
        return History(tuple(epochs), dict(self._moved))


def _up_to_date(cluster: Cluster, entries: Mapping[EntryKey, tuple[Entry, ...]]) -> Cluster:
    """The cluster with what changed in its tables; the same one where nothing did."""
    changed: dict[int, dict[str, Target | None]] = {}
    for (name, number, key), found in entries.items():
        if name == cluster.name:
            changed.setdefault(number, {})[key] = found[-1].target
    if not changed:
        return cluster
    rules = list(cluster.rules)
    for number, new in changed.items():
        lookup = rules[number].topic
        assert isinstance(lookup, Lookup), "only tables have entries"
        rules[number] = replace(
            rules[number], topic=replace(lookup, table=_merged(lookup.table, new))
        )
    return replace(cluster, rules=tuple(rules))


def _cluster(data: Mapping[str, Any]) -> Cluster:
    text = json.dumps({"clusters": [data], "profiles": []}, ensure_ascii=False)
    [cluster] = parse_rules(text, "history").clusters
    return cluster


def _target(data: str | Mapping[str, Any]) -> Target:
    if isinstance(data, str):
        return Target(data)
    return Target(data["topic"], data.get("start_at"), data.get("generation"))


def _move(channel: Channel, data: Mapping[str, Any]) -> Move:
    return Move(channel, data["cluster"], Target(data["topic"], data.get("start_at")))
