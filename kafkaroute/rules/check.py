"""Looks for every problem of a rules file, where the loader stops at the first.

The loader stays the authority: it reads each piece here, and the whole file at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import yaml

from ..errors import ConfigurationError
from . import callers as callers_of_rules
from . import loader, topics
from .model import ASKER_PARTS, Authentication, Certificates, Rules
from .secrets.refs import is_reference, reference_problem
from .warnings import warn_about
from .yaml_nodes import Node, parse

__all__ = ["Checked", "check_rules"]

#: What the loader knows in each place: keys, then those that must be there.
_ROOT = (
    *("version", "cache", "authentication", "callers", "credentials"),
    *("clusters", "moves", "history", "profiles"),
)
_CLUSTER = ("name", "connection", "tags", "cluster_id", "schema_registry", "rules")
#: Stands in for a section that cannot be read.
ANY_WAY = Authentication(certificates=Certificates(listed_only=False))
_TRANSFORM = ("template", "part", "pattern", "start_at", "generation")


class Checked(NamedTuple):
    """What was found, as ``file:line: path: message`` and in the file's order.

    `rules` is None where there are problems; `warnings` are looked for only in a sound file.
    """

    rules: Rules | None
    problems: list[str]
    warnings: list[str]


def check_rules(text: str, file: str, environ: Mapping[str, str]) -> Checked:
    """Check the rules in `text`.

    Args:
        file: the name used in messages.
        environ: where secret references are looked for.
    """
    found = _Findings()
    root = found.attempt(parse, text, file)
    if root is None:
        return Checked(None, found.texts(), [])
    _check_root(root, found)
    rules = found.attempt(loader.parse_rules, text, file)
    if found.texts() or rules is None:
        return Checked(None, found.texts(), [])
    warnings = _Findings()
    warn_about(root, rules, environ, warnings.add)
    return Checked(rules, [], warnings.texts())


class _Findings:
    """Messages by line, each once."""

    def __init__(self) -> None:
        self._found: dict[str, int] = {}

    def texts(self) -> list[str]:
        return sorted(self._found, key=lambda text: self._found[text])

    def add(self, node: Node, message: str) -> None:
        self.attempt(node.fail, message, line=node.line)

    def attempt(self, read: Callable[..., Any], *args: Any, line: int = 0, **more: Any) -> Any:
        """What `read` returns, or None and its complaint is kept.

        `line` only orders the messages; they name their own.
        """
        try:
            return read(*args, **more)
        except ConfigurationError as error:
            text = str(error)
            self._found.setdefault(text, line or _line_in(text))
            return None

    def read(self, node: Node | None, read: Callable[..., Any], *args: Any, **more: Any) -> Any:
        return None if node is None else self.attempt(read, node, *args, **more)

    def fields(self, node: Node, *known: str, required: tuple[str, ...] = ()) -> dict[str, Node]:
        """As :meth:`Node.fields`, but with every unknown and every missing key."""
        pairs = self.entries(node)
        if pairs is None:
            return {}
        for key, child in pairs.items():
            if key not in known:
                self.attempt(_OnePair(node, key, child).fields, *known)
        for key in required:
            if key not in pairs:
                self.add(node, f"{key!r} is missing")
        return {key: child for key, child in pairs.items() if key in known}

    def entries(self, node: Node) -> dict[str, Node] | None:
        """A mapping's values; where some keys cannot be, those that can."""
        pairs: dict[str, Node] | None = self.attempt(lambda: dict(node.entries()))
        if pairs is not None or not isinstance(node._node, yaml.MappingNode):
            return pairs
        readable: dict[str, Node] = {}
        for key_node, value_node in node._node.value:
            here = Node(key_node, node._document, node.path)
            key = self.attempt(here.scalar) if here.is_scalar else None
            if not isinstance(key, str):
                if here.is_scalar:
                    kind = type(key).__name__
                    shown = key_node.value
                    self.add(here, f"the key {shown!r} is read as {kind}: put it in quotes")
            elif key in readable:
                self.add(here, f"{key!r} stands here twice")
            else:
                path = f"{node.path}.{key}" if node.path else key
                readable[key] = Node(value_node, node._document, path, key_node)
        return readable

    def items(self, node: Node | None) -> list[Node]:
        return self.read(node, Node.items) or []


class _OnePair(Node):
    """One key of a mapping, so that its complaint is not hidden by another's."""

    __slots__ = ("_pair",)

    def __init__(self, node: Node, key: str, child: Node) -> None:
        super().__init__(node._node, node._document, node.path)
        self._pair = (key, child)

    def entries(self) -> Iterator[tuple[str, Node]]:
        yield self._pair


class _OneItem(Node):
    """A list of the one entry `node`, for a reader of lists."""

    __slots__ = ("_item",)

    def __init__(self, node: Node) -> None:
        super().__init__(node._node, node._document, node.path)
        self._item = node

    def items(self) -> list[Node]:
        return [self._item]


def _line_in(text: str) -> int:
    for part in text.split(":")[1:]:
        if part.isdecimal():
            return int(part)
    return 0


def _check_root(node: Node, found: _Findings) -> None:
    root = found.fields(node, *_ROOT, required=("clusters", "profiles"))
    if (version := root.get("version")) is not None:
        number = found.attempt(version.integer)
        if number not in {None, loader.FORMAT_VERSION}:
            found.add(version, f"this release reads version {loader.FORMAT_VERSION}")
    if (cache := root.get("cache")) is not None:
        for child in found.fields(cache, "max_age", "stale_if_error").values():
            found.attempt(loader._seconds, child)
    if (history := root.get("history")) is not None:
        for child in found.fields(history, "previous_for").values():
            found.attempt(loader._seconds, child)
    names: list[str] = []
    for child in found.items(root.get("clusters")):
        name = _cluster(child, found)
        if name is not None and name in names:
            found.add(child, f"two clusters are named {name!r}")
        names += [name] if name else []
    for child in found.items(root.get("moves")):
        found.fields(child, *loader.MOVE_KEYS, required=loader.MOVE_KEYS[:3])
        found.attempt(loader._moves, _OneItem(child), names)
    for child in found.items(root.get("profiles")):
        _profile(child, found)
    authentication = None
    if (section := root.get("authentication")) is not None:
        _authentication(section, found)
        # Where it is wrong: not every caller needs a password, and any may have credentials.
        authentication = found.attempt(callers_of_rules.read_authentication, section) or ANY_WAY
    callers = _callers(root.get("callers"), authentication is not None, found)
    for child in found.items(root.get("credentials")):
        _credentials(child, callers, names, authentication, found)


def _cluster(node: Node, found: _Findings) -> str | None:
    fields = found.fields(node, *_CLUSTER, required=("name", "connection", "rules"))
    connection = fields.get("connection")
    values = _each(connection, found, loader._value, secrets=False)
    if connection is not None and values is not None and not values.get("bootstrap.servers"):
        found.add(connection, "'bootstrap.servers' is missing")
    _each(fields.get("tags"), found, Node.text)
    found.read(fields.get("cluster_id"), Node.text)
    found.read(fields.get("schema_registry"), loader._schema_registry)
    for child in found.items(fields.get("rules")):
        _rule(child, found)
    name = found.read(fields.get("name"), Node.text)
    return name if isinstance(name, str) else None


def _each(
    node: Node | None, found: _Findings, read: Callable[[Node], Any], *, secrets: bool | None = None
) -> dict[str, Any] | None:
    """Each value of a mapping by itself; `secrets` says whether references may stand there."""
    pairs = found.entries(node) if node is not None else None
    if pairs is None:
        return None
    values = {}
    for key, child in pairs.items():
        values[key] = found.attempt(read, child)
        if secrets is not None and is_reference(values[key]):
            problem = reference_problem(values[key])
            if problem or not secrets:
                found.add(child, problem or "secret references belong under credentials")
    return values


def _rule(node: Node, found: _Findings) -> None:
    fields = found.fields(node, "match", "lookup", "transform")
    if ("lookup" in fields) == ("transform" in fields):
        found.add(node, "a rule has either 'lookup' or 'transform'")
    if (match := fields.get("match")) is not None:
        for child in found.fields(match, *topics.PARTS, *ASKER_PARTS).values():
            found.attempt(topics.read_pattern, child)
    if (lookup := fields.get("lookup")) is not None:
        inner = found.fields(lookup, "segment", "part", "pattern", "table", required=("table",))
        table = inner.get("table")
        for child in (found.entries(table) or {}).values() if table is not None else ():
            _target(child, found)
        found.read(inner.get("pattern"), topics.read_pattern)
        found.attempt(topics.read_part, inner)
        found.attempt(topics.read_lookup, lookup)
    if (transform := fields.get("transform")) is not None:
        if not transform.is_scalar:
            inner = found.fields(transform, *_TRANSFORM, required=("template",))
            found.read(inner.get("pattern"), topics.read_pattern)
            for read in (topics.read_part, topics.read_start_at, topics.read_generation):
                found.attempt(read, inner)
        found.attempt(topics.read_transform, transform)


def _target(node: Node, found: _Findings) -> None:
    if node.is_mapping:
        inner = found.fields(node, "topic", "start_at", "generation", required=("topic",))
        found.read(inner.get("topic"), topics.read_topic)
        for read in (topics.read_start_at, topics.read_generation):
            found.attempt(read, inner)
    else:
        found.attempt(topics.read_target, node)


def _profile(node: Node, found: _Findings) -> None:
    fields = found.fields(node, "name", "settings", "tags", required=("name", "settings"))
    found.read(fields.get("name"), Node.text)
    _each(fields.get("tags"), found, Node.text)
    settings = fields.get("settings")
    _each(settings, found, _setting, secrets=False)


def _setting(node: Node) -> Any:
    return loader._typed(node) if node.is_mapping else loader._value(node)


def _authentication(node: Node, found: _Findings) -> None:
    fields = found.fields(node, *callers_of_rules.WAYS)
    for child in found.items(fields.get("bearer")):
        found.fields(
            child, *callers_of_rules.BEARER_KEYS, required=callers_of_rules.BEARER_REQUIRED
        )
        found.attempt(callers_of_rules.read_bearer, child)
    if (certificates := fields.get("certificates")) is not None:
        found.fields(certificates, *callers_of_rules.CERTIFICATE_KEYS)
        found.attempt(callers_of_rules.read_certificates, certificates)


def _callers(node: Node | None, other_ways: bool, found: _Findings) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for child in found.items(node):
        pairs = found.fields(child, *callers_of_rules.CALLER_KEYS, required=("name",))
        name = found.read(pairs.get("name"), Node.text)
        if pairs and (problem := callers_of_rules.password_problem(pairs, other_ways)):
            found.add(child, problem)
        if name in names:
            found.add(child, "this caller stands here twice")
        if name is not None:
            names[name] = None
        found.attempt(callers_of_rules.read_callers, _OneItem(child), other_ways)
    return names


def _credentials(
    node: Node,
    callers: dict[str, Any],
    clusters: list[str],
    authentication: Authentication | None,
    found: _Findings,
) -> None:
    fields = found.fields(
        node, "caller", "clusters", "values", "schema_registry", required=("caller", "values")
    )
    for part in ("values", "schema_registry"):
        _each(fields.get(part), found, loader._value, secrets=True)
    caller = found.read(fields.get("caller"), Node.text)
    if caller is not None and not callers_of_rules.may_ask(caller, callers, authentication):
        found.add(fields["caller"], "this caller is not among 'callers'")
    for child in found.items(fields.get("clusters")):
        name = found.attempt(child.text)
        if name is not None and name not in clusters:
            found.add(child, f"no cluster is named {name!r}")
