"""Reads a rules file (docs/rules.md): YAML in, checked :class:`Rules` out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from ..channel import Channel
from ..errors import ChannelInvalid, ConfigurationError
from .callers import may_ask, read_authentication, read_callers
from .model import (
    ASKER_PARTS,
    PREVIOUS_FOR,
    Authentication,
    Caller,
    ChannelKey,
    Cluster,
    Credentials,
    Move,
    Predicate,
    Profile,
    Rule,
    Rules,
    Target,
    Value,
    channel_key,
)
from .secrets.refs import is_reference, reference_problem

try:
    from .topics import (
        PARTS,
        read_lookup,
        read_pattern,
        read_start_at,
        read_topic,
        read_transform,
    )
    from .yaml_nodes import Node, parse
except ModuleNotFoundError as error:
    raise ConfigurationError(
        f"rules files need the package that provides {error.name!r}: pip install 'kafkaroute[file]'"
    ) from error

__all__ = ["load_rules", "parse_rules", "read_document"]

#: The only version of the format so far.
FORMAT_VERSION = 1
#: The first three must be there; ``at`` is for people.
MOVE_KEYS = ("channel", "cluster", "topic", "start_at", "at")


def load_rules(path: str | Path) -> Rules:
    """The rules in the file at `path`.

    Raises:
        ConfigurationError: not readable or wrong; names file, line and key path.
    """
    return parse_rules(read_document(path), str(path))


def read_document(path: str | Path) -> str:
    """The text of the rules file at `path`; raises as :func:`load_rules`."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot read the rules file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"the rules file {path} is not UTF-8 text") from None


def parse_rules(text: str, file: str = "rules") -> Rules:
    """As :func:`load_rules`, from `text`; `file` is the name used in errors."""
    root = parse(text, file).fields(
        "version",
        "cache",
        "authentication",
        "callers",
        "credentials",
        "clusters",
        "moves",
        "history",
        "profiles",
        required=("clusters", "profiles"),
    )
    if "version" in root and root["version"].integer() != FORMAT_VERSION:
        root["version"].fail(f"this release reads version {FORMAT_VERSION}")
    clusters = tuple(_cluster(node) for node in root["clusters"].items())
    names = [cluster.name for cluster in clusters]
    for node, name in zip(root["clusters"].items(), names, strict=True):
        if names.count(name) > 1:
            node.fail(f"two clusters are named {name!r}")
    authentication = (
        read_authentication(root["authentication"]) if "authentication" in root else None
    )
    callers = read_callers(root["callers"], authentication is not None) if "callers" in root else {}
    credentials = None
    if "credentials" in root:
        credentials = tuple(
            _credentials(node, callers, names, authentication)
            for node in root["credentials"].items()
        )
    cache = root["cache"].fields("max_age", "stale_if_error") if "cache" in root else {}
    history = root["history"].fields("previous_for") if "history" in root else {}
    previous_for = _seconds(history.get("previous_for"))
    return Rules(
        clusters=clusters,
        profiles=tuple(_profile(node) for node in root["profiles"].items()),
        credentials=credentials,
        callers=MappingProxyType(callers),
        authentication=authentication,
        max_age=_seconds(cache.get("max_age")),
        stale_if_error=_seconds(cache.get("stale_if_error")),
        moves=MappingProxyType(_moves(root["moves"], names) if "moves" in root else {}),
        previous_for=PREVIOUS_FOR if previous_for is None else previous_for,
    )


def _seconds(node: Node | None) -> float | None:
    if node is None:
        return None
    value = node.scalar()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        node.fail("expected a number of seconds")
    return float(value)


def _value(node: Node) -> Value:
    value = node.scalar()
    if not isinstance(value, (str, int, float, bool)):
        node.fail("expected a string, a number or a boolean")
    return value


def _values(node: Node, *, secrets: bool) -> Mapping[str, Value]:
    found: dict[str, Value] = {}
    for key, child in node.entries():
        value = _value(child)
        if is_reference(value):
            problem = reference_problem(str(value))
            if problem or not secrets:
                child.fail(problem or "secret references belong under credentials")
        found[key] = value
    return MappingProxyType(found)


def _tags(node: Node | None) -> Mapping[str, str]:
    if node is None:
        return {}
    return MappingProxyType({key: child.text() for key, child in node.entries()})


def _cluster(node: Node) -> Cluster:
    fields = node.fields(
        "name",
        "connection",
        "tags",
        "cluster_id",
        "schema_registry",
        "rules",
        required=("name", "connection", "rules"),
    )
    connection = _values(fields["connection"], secrets=False)
    if not connection.get("bootstrap.servers"):
        fields["connection"].fail("'bootstrap.servers' is missing")
    return Cluster(
        name=fields["name"].text(),
        connection=connection,
        rules=tuple(_rule(child) for child in fields["rules"].items()),
        tags=_tags(fields.get("tags")),
        cluster_id=fields["cluster_id"].text() if "cluster_id" in fields else None,
        schema_registry=_schema_registry(fields.get("schema_registry")),
    )


def _schema_registry(node: Node | None) -> Mapping[str, Value]:
    if node is None:
        return {}
    found = _values(node, secrets=True)
    if not found.get("url"):
        node.fail("'url' is missing")
    for key, child in node.entries():
        if not isinstance(found[key], str):
            child.fail("expected a string: put it in quotes")
    return found


def _moves(node: Node, clusters: list[str]) -> dict[ChannelKey, Move]:
    found: dict[ChannelKey, Move] = {}
    for item in node.items():
        move = _move(item, clusters)
        if found.setdefault(channel_key(move.channel), move) is not move:
            item.fail("this channel stands here twice")
    return found


def _move(node: Node, clusters: list[str]) -> Move:
    fields = node.fields(*MOVE_KEYS, required=MOVE_KEYS[:3])
    try:
        channel = Channel.parse(fields["channel"].text())
    except ChannelInvalid as error:
        fields["channel"].fail(str(error))
    cluster = fields["cluster"].text()
    if cluster not in clusters:
        fields["cluster"].fail(f"no cluster is named {cluster!r}")
    if "at" in fields:
        fields["at"].scalar()
    return Move(channel, cluster, Target(read_topic(fields["topic"]), read_start_at(fields)))


def _rule(node: Node) -> Rule:
    fields = node.fields("match", "lookup", "transform")
    if ("lookup" in fields) == ("transform" in fields):
        node.fail("a rule has either 'lookup' or 'transform'")
    predicates: list[Predicate] = []
    if "match" in fields:
        for part, child in fields["match"].fields(*PARTS, *ASKER_PARTS).items():
            predicates.append(Predicate(part, read_pattern(child)))
    topic = (
        read_lookup(fields["lookup"]) if "lookup" in fields else read_transform(fields["transform"])
    )
    return Rule(tuple(predicates), topic)


def _profile(node: Node) -> Profile:
    fields = node.fields("name", "settings", "tags", required=("name", "settings"))
    settings: dict[str, Value] = {}
    for key, child in fields["settings"].entries():
        settings[key] = _typed(child) if child.is_mapping else _value(child)
        if is_reference(settings[key]):
            child.fail("secret references belong under credentials")
    return Profile(fields["name"].text(), MappingProxyType(settings), _tags(fields.get("tags")))


def _typed(node: Node) -> Value:
    """``{value: "3", type: number}``, for files made by programs that quote everything."""
    fields = node.fields("value", "type", required=("value", "type"))
    value, wanted = _value(fields["value"]), fields["type"].text()
    if wanted == "string":
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value)
    if wanted == "boolean":
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        fields["value"].fail("expected true or false")
    if wanted == "number":
        if isinstance(value, bool):
            fields["value"].fail("expected a number")
        if not isinstance(value, str):
            return value
        for convert in (int, float):
            try:
                return convert(value)
            except ValueError:
                continue
        fields["value"].fail("expected a number")
    return fields["type"].fail("expected string, number or boolean")


def _credentials(
    node: Node,
    callers: Mapping[str, Caller],
    clusters: list[str],
    authentication: Authentication | None,
) -> Credentials:
    fields = node.fields(
        "caller", "clusters", "values", "schema_registry", required=("caller", "values")
    )
    caller = fields["caller"].text()
    if not may_ask(caller, callers, authentication):
        fields["caller"].fail("this caller is not among 'callers'")
    only: set[str] = set()
    for child in fields["clusters"].items() if "clusters" in fields else ():
        name = child.text()
        if name not in clusters:
            child.fail(f"no cluster is named {name!r}")
        only.add(name)
    registry = fields.get("schema_registry")
    return Credentials(
        caller,
        _values(fields["values"], secrets=True),
        frozenset(only),
        {} if registry is None else _values(registry, secrets=True),
    )
