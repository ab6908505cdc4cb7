"""Reads a rules file (docs/rules.md): YAML in, checked :class:`Rules` out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import ConfigurationError
from .rules_callers import may_ask, read_authentication, read_callers
from .rules_model import (
    Authentication,
    Caller,
    Cluster,
    Credentials,
    Lookup,
    Predicate,
    Profile,
    Rule,
    Rules,
    Target,
    Transform,
    Value,
    valid_topic,
)
from .secret_refs import is_reference, reference_problem

try:
    import re2

    from .yaml_nodes import Node, parse
except ModuleNotFoundError as error:
    raise ConfigurationError(
        f"rules files need the package that provides {error.name!r}: pip install 'kafkaroute[file]'"
    ) from error

__all__ = ["load_rules", "parse_rules"]

#: The only version of the format so far.
FORMAT_VERSION = 1
_PARTS = ("scheme", "host", "path")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def load_rules(path: str | Path) -> Rules:
    """The rules in the file at `path`.

    Raises:
        ConfigurationError: not readable or wrong; names file, line and key path.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot read the rules file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"the rules file {path} is not UTF-8 text") from None
    return parse_rules(text, str(path))


def parse_rules(text: str, file: str = "rules") -> Rules:
    """As :func:`load_rules`, from `text`; `file` is the name used in errors."""
    root = parse(text, file).fields(
        "version",
        "cache",
        "authentication",
        "callers",
        "credentials",
        "clusters",
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
    return Rules(
        clusters=clusters,
        profiles=tuple(_profile(node) for node in root["profiles"].items()),
        credentials=credentials,
        callers=MappingProxyType(callers),
        authentication=authentication,
        max_age=_seconds(cache.get("max_age")),
        stale_if_error=_seconds(cache.get("stale_if_error")),
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
    )


def _rule(node: Node) -> Rule:
    fields = node.fields("match", "lookup", "transform")
    if ("lookup" in fields) == ("transform" in fields):
        node.fail("a rule has either 'lookup' or 'transform'")
    predicates: list[Predicate] = []
    if "match" in fields:
        for part, child in fields["match"].fields(*_PARTS).items():
            predicates.append(Predicate(part, _pattern(child)))
    topic: Lookup | Transform = (
        _lookup(fields["lookup"]) if "lookup" in fields else _transform(fields["transform"])
    )
    return Rule(tuple(predicates), topic)


def _pattern(node: Node) -> Any:
    options = re2.Options()
    options.log_errors = False  # it would write to stderr by itself
    try:
        return re2.compile(node.text(), options)
    except re2.error as error:
        cause = error.args[0] if error.args else error
        text = cause.decode("utf-8", "replace") if isinstance(cause, bytes) else str(cause)
        node.fail(f"not a regular expression (RE2 syntax): {text}")


def _part(fields: Mapping[str, Node]) -> str:
    if "part" not in fields:
        return "path"
    part = fields["part"].text()
    if part not in {*_PARTS, "uri"}:
        fields["part"].fail("expected scheme, host, path or uri")
    if "pattern" not in fields:
        fields["part"].fail("'part' says what 'pattern' is matched against, and there is none")
    return part


def _lookup(node: Node) -> Lookup:
    fields = node.fields("segment", "part", "pattern", "table", required=("table",))
    if "segment" in fields and "pattern" in fields:
        node.fail("the key is taken either by 'segment' or by 'pattern'")
    segment = -1
    if "segment" in fields and (segment := fields["segment"].integer()) == 0:
        fields["segment"].fail("segments count from 1, or from -1 at the end")
    return Lookup(
        table={key: _target(child) for key, child in fields["table"].entries()},
        segment=segment,
        part=_part(fields),
        pattern=_pattern(fields["pattern"]) if "pattern" in fields else None,
    )


def _target(node: Node) -> Target:
    if not node.is_mapping:
        return Target(_topic(node))
    fields = node.fields("topic", "start_at", "generation", required=("topic",))
    return Target(_topic(fields["topic"]), _start_at(fields), _generation(fields))


def _topic(node: Node) -> str:
    name = node.text()
    if not valid_topic(name):
        node.fail(f"{name!r} is no topic name (1-249 letters, digits, '.', '_' and '-')")
    return name


def _start_at(fields: Mapping[str, Node]) -> str | None:
    if "start_at" not in fields:
        return None
    node = fields["start_at"]
    value = node.scalar()
    if isinstance(value, datetime):  # YAML knows timestamps; one without a zone is UTC
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, str) and value in {"earliest", "latest"}:
        return value
    try:
        zone = datetime.fromisoformat(value).tzinfo if isinstance(value, str) else None
    except ValueError:
        zone = None
    if zone is None:
        node.fail("expected earliest, latest or an RFC 3339 time (date, time and zone)")
    return str(value)


def _generation(fields: Mapping[str, Node]) -> int | None:
    return fields["generation"].integer() if "generation" in fields else None


def _transform(node: Node) -> Transform:
    if node.is_scalar:
        return Transform(_pieces(node, None))
    fields = node.fields(
        "template", "part", "pattern", "start_at", "generation", required=("template",)
    )
    pattern = _pattern(fields["pattern"]) if "pattern" in fields else None
    return Transform(
        pieces=_pieces(fields["template"], pattern),
        part=_part(fields),
        pattern=pattern,
        start_at=_start_at(fields),
        generation=_generation(fields),
    )


def _pieces(node: Node, pattern: Any) -> tuple[str | tuple[str, Any], ...]:
    pieces: list[str | tuple[str, Any]] = []
    template = node.text()
    position = 0
    for match in _PLACEHOLDER.finditer(template):
        pieces.append(template[position : match.start()])
        pieces.append(_placeholder(node, match.group(1), pattern))
        position = match.end()
    pieces.append(template[position:])
    if any(isinstance(piece, str) and set(piece) & {"{", "}"} for piece in pieces):
        node.fail("a brace is not closed or not opened")
    return tuple(piece for piece in pieces if piece)


def _placeholder(node: Node, name: str, pattern: Any) -> tuple[str, Any]:
    if name in {"scheme", "host", "key"}:
        return (name, None)
    if name.startswith("segment:"):
        number = name.removeprefix("segment:")
        if not re.fullmatch(r"-?[1-9][0-9]*", number):
            node.fail(f"{{{name}}}: segments count from 1, or from -1 at the end")
        return ("segment", int(number))
    if pattern is not None:
        if name.isdecimal() and 0 <= int(name) <= pattern.groups:
            return ("group", int(name))
        if name in pattern.groupindex:
            return ("group", name)
    return node.fail(
        f"unknown placeholder {{{name}}}; known: {{scheme}}, {{host}}, {{key}}, {{segment:N}} and "
        "the groups of 'pattern', by number or name"
    )


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
    fields = node.fields("caller", "clusters", "values", required=("caller", "values"))
    caller = fields["caller"].text()
    if not may_ask(caller, callers, authentication):
        fields["caller"].fail("this caller is not among 'callers'")
    only: set[str] = set()
    for child in fields["clusters"].items() if "clusters" in fields else ():
        name = child.text()
        if name not in clusters:
            child.fail(f"no cluster is named {name!r}")
        only.add(name)
    return Credentials(caller, _values(fields["values"], secrets=True), frozenset(only))
