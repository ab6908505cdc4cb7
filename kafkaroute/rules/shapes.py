"""Shapes of a document: from one description of a place follow reading, errors and JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

from ..errors import ConfigurationError
from .key_rules import KeyRule
from .model import Authentication
from .yaml_nodes import Node

__all__ = [
    "Defs",
    "Either",
    "Field",
    "Leaf",
    "ListOf",
    "MapOf",
    "Nodes",
    "OneOrMore",
    "Reading",
    "Record",
    "Shape",
    "Values",
    "read_alone",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Json = dict[str, Any]
#: Definitions of a JSON Schema, by name; a shape with a name adds itself.
Defs = dict[str, Json]


class _Unsound(Exception):
    """A place could not be read; what is wrong with it is told by the Reading."""


class Reading:
    """One reading of a document: what was found wrong, and what later sections refer to.

    Attributes:
        clusters: names of the clusters that were read.
        callers: names of the callers that were read.
        authentication: what is accepted besides passwords; None where there is no such section.
    """

    def __init__(self) -> None:
        self._found: dict[str, int] = {}
        self.failures = 0
        self.clusters: list[str] = []
        self.callers: set[str] = set()
        self.authentication: Authentication | None = None

    def problems(self) -> list[str]:
        """What was found wrong, each thing once and in the document's order."""
        return sorted(self._found, key=lambda text: self._found[text])

    def first(self) -> str:
        """What was found first: of a misspelt key, the hint and not that another is missing."""
        return next(iter(self._found))

    def accept(self, authentication: Authentication) -> None:
        self.authentication = authentication

    def add(self, problem: ConfigurationError, line: int) -> None:
        self.failures += 1
        self._found.setdefault(str(problem), line)

    def attempt(self, node: Node, read: Callable[..., T], *args: Any) -> T | None:
        """What `read` returns; None where it fails, which is noted for the line of `node`."""
        try:
            return read(*args)
        except _Unsound:
            return None
        except ConfigurationError as problem:
            self.add(problem, node.line)
            return None

    def pairs(self, node: Node) -> dict[str, Node]:
        """The mapping's readable pairs; every other key is noted."""
        found, problems = node.pairs()
        for line, problem in problems:
            self.add(problem, line)
        return found


class Shape(Protocol[T_co]):
    """What may stand in a place, and what is made of it."""

    def read(self, node: Node, reading: Reading) -> T_co:
        """Raises ConfigurationError (not noted yet) or _Unsound (noted)."""

    def schema(self, defs: Defs) -> Json:
        """As JSON Schema; definitions that it refers to are put into `defs`."""


def read_alone(shape: Shape[T], node: Node) -> T:
    """What stands at `node`.

    Raises:
        ConfigurationError: the first thing that was found wrong; names file, line and key path.
    """
    reading = Reading()
    found = reading.attempt(node, shape.read, node, reading)
    if found is None:
        raise ConfigurationError(reading.first())
    return found


def _named(name: str, defs: Defs, make: Callable[[], Json]) -> Json:
    if not name:
        return make()
    if name not in defs:
        defs[name] = {}  # its place, before those it refers to
        defs[name] = make()
    return {"$ref": f"#/$defs/{name}"}


@dataclass(frozen=True, slots=True)
class Leaf(Generic[T]):
    """A single value, read by one function; `json` is what a schema can say of it."""

    reader: Callable[[Node], T]
    json: Mapping[str, Any]
    name: str = ""

    def read(self, node: Node, _reading: Reading) -> T:
        return self.reader(node)

    def schema(self, defs: Defs) -> Json:
        return _named(self.name, defs, lambda: dict(self.json))


@dataclass(frozen=True, slots=True)
class ListOf(Generic[T]):
    """A list of `item`."""

    item: Shape[T]

    def read(self, node: Node, reading: Reading) -> tuple[T, ...]:
        before = reading.failures
        found = tuple(
            value
            for child in node.items()
            if (value := reading.attempt(child, self.item.read, child, reading)) is not None
        )
        if reading.failures > before:
            raise _Unsound
        return found

    def schema(self, defs: Defs) -> Json:
        return {"type": "array", "items": self.item.schema(defs)}


@dataclass(frozen=True, slots=True)
class OneOrMore:
    """One text, or a list of them that is not empty."""

    item: Leaf[str]
    name: str = ""

    def read(self, node: Node, reading: Reading) -> tuple[str, ...]:
        if node.is_scalar:
            return (self.item.read(node, reading),)
        found = ListOf(self.item).read(node, reading)
        if not found:
            node.fail("expected at least one")
        return found

    def schema(self, defs: Defs) -> Json:
        def make() -> Json:
            item = self.item.schema(defs)
            return {"anyOf": [item, {"type": "array", "minItems": 1, "items": item}]}

        return _named(self.name, defs, make)


@dataclass(frozen=True, slots=True)
class MapOf(Generic[T]):
    """A mapping with any keys; those in `required` must have a value that is not empty."""

    value: Shape[T]
    required: tuple[str, ...] = ()
    name: str = ""

    def read(self, node: Node, reading: Reading) -> Mapping[str, T]:
        before = reading.failures
        found: dict[str, T] = {}
        for key, child in (pairs := reading.pairs(node)).items():
            value = reading.attempt(child, self.value.read, child, reading)
            if value is not None:
                found[key] = value
        for key in self.required:
            if key not in pairs or (key in found and not found[key]):
                reading.attempt(node, node.fail, f"{key!r} is missing")
        if reading.failures > before:
            raise _Unsound
        return MappingProxyType(found)

    def schema(self, defs: Defs) -> Json:
        def make() -> Json:
            made: Json = {"type": "object", "additionalProperties": self.value.schema(defs)}
            return {**made, "required": list(self.required)} if self.required else made

        return _named(self.name, defs, make)


@dataclass(frozen=True, slots=True)
class Either(Generic[T]):
    """`short`, or a mapping that says the same at more length."""

    short: Shape[T]
    mapping: Shape[T]

    def read(self, node: Node, reading: Reading) -> T:
        return (self.mapping if node.is_mapping else self.short).read(node, reading)

    def schema(self, defs: Defs) -> Json:
        return {"anyOf": [self.short.schema(defs), self.mapping.schema(defs)]}


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a record; `about` tells people what it is for."""

    shape: Shape[Any]
    about: str = ""
    required: bool = False

    def schema(self, defs: Defs) -> Json:
        made = self.shape.schema(defs)
        return {**made, "description": self.about} if self.about else made


#: The nodes of a record's known keys, and what was read of those that are sound.
Nodes = Mapping[str, Node]
Values = dict[str, Any]
#: Looks at several keys of a record together; says what is wrong by Node.fail().
Check = Callable[[Node, Nodes, Values, Reading], None]


@dataclass(frozen=True, slots=True)
class Record(Generic[T]):
    """A mapping whose keys are all known.

    Attributes:
        fields: by key, in the order in which they are read.
        make: what becomes of the values, once all of them are sound.
        rules: which keys go together.
        checks: look at the sound values, also where others are not; may replace them.
        json: what else a schema says of it.
    """

    fields: Mapping[str, Field]
    make: Callable[[Values], T]
    name: str = ""
    rules: tuple[KeyRule, ...] = ()
    checks: tuple[Check, ...] = ()
    json: Mapping[str, Any] = field(default_factory=dict)

    def read(self, node: Node, reading: Reading) -> T:
        before = reading.failures
        nodes = self._known(node, reading)
        values: Values = {}
        unread = {key for rule in self.rules for key in rule.unclear(nodes)}
        for key, one in self.fields.items():
            if key not in nodes:
                if one.required:
                    reading.attempt(node, node.fail, f"{key!r} is missing")
            elif key not in unread:
                value = reading.attempt(nodes[key], one.shape.read, nodes[key], reading)
                if value is not None:
                    values[key] = value
        for rule in self.rules:
            if (key_or_none := rule.broken(nodes, values)) is not None:
                place = nodes.get(key_or_none, node)
                reading.attempt(place, place.fail, rule.message)
        for check in self.checks:
            reading.attempt(node, check, node, nodes, values, reading)
        if reading.failures > before:
            raise _Unsound
        return self.make(values)

    def _known(self, node: Node, reading: Reading) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key, child in reading.pairs(node).items():
            if key in self.fields:
                found[key] = child
            else:
                reading.attempt(child, child.unknown, key, tuple(self.fields))
        return found

    def schema(self, defs: Defs) -> Json:
        return _named(self.name, defs, lambda: self._schema(defs))

    def _schema(self, defs: Defs) -> Json:
        made: Json = {
            "type": "object",
            "additionalProperties": False,
            "properties": {key: one.schema(defs) for key, one in self.fields.items()},
        }
        if required := [key for key, one in self.fields.items() if one.required]:
            made["required"] = required
        for rule in self.rules:
            rule.add_to(made)
        return {**made, **self.json}
