"""Single values of a rules file, and mappings of them."""

from __future__ import annotations

import math
from typing import cast

from .model import Value
from .secrets.refs import is_reference, reference_problem
from .shapes import Either, Field, Leaf, MapOf, Nodes, Reading, Record, Values
from .yaml_nodes import Node

__all__ = [
    "BOOLEAN",
    "CONNECTION",
    "REGISTRY",
    "SECONDS",
    "SETTING",
    "SETTINGS",
    "TAGS",
    "TEXT",
    "WITH_SECRETS",
]

#: A hundred years: more is a slip of the keyboard, and beyond what dates can be counted with.
_MAX_SECONDS = 100 * 365 * 24 * 3600
#: Beyond it JSON readers lose digits or refuse (RFC 8259, section 6).
_LARGEST = 2.0**63
_TYPES = ("string", "number", "boolean")


def _seconds(node: Node) -> float:
    value = node.scalar()
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        node.fail("expected a number of seconds")
    if value > _MAX_SECONDS:
        node.fail(f"expected a number of seconds, at most {_MAX_SECONDS} (a hundred years)")
    return float(value)


def _boolean(node: Node) -> bool:
    value = node.scalar()
    if not isinstance(value, bool):
        node.fail("expected true or false")
    return value


def _value(node: Node) -> Value:
    value = node.scalar()
    if not isinstance(value, str | int | float | bool):
        node.fail("expected a string, a number or a boolean")
    if isinstance(value, float) and not math.isfinite(value):
        node.fail("expected a finite number")
    return value


def _plain(node: Node) -> Value:
    value = _value(node)
    if is_reference(value):
        problem = reference_problem(str(value))
        node.fail(problem or "secret references belong under credentials")
    return value


def _text_with_secrets(node: Node) -> str:
    value = _with_secrets(node)
    if not isinstance(value, str):
        node.fail("expected a string: put it in quotes")
    return value


def _with_secrets(node: Node) -> Value:
    value = _value(node)
    if is_reference(value) and (problem := reference_problem(str(value))):
        node.fail(problem)
    return value


def _type(node: Node) -> str:
    if (wanted := node.text()) not in _TYPES:
        node.fail("expected string, number or boolean")
    return wanted


def _convert(_node: Node, nodes: Nodes, values: Values, _reading: Reading) -> None:
    """For files made by programs that quote everything."""
    if not values.keys() >= {"value", "type"}:
        return
    node, value, wanted = nodes["value"], values["value"], values["type"]
    if wanted == "string":
        values["value"] = ("true" if value else "false") if isinstance(value, bool) else str(value)
    elif wanted == "boolean":
        values["value"] = _as_boolean(node, value)
    else:
        values["value"] = _as_number(node, value)


def _as_boolean(node: Node, value: Value) -> bool:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.lower() not in {"true", "false"}:
        node.fail("expected true or false")
    return value.lower() == "true"


def _as_number(node: Node, value: Value) -> int | float:
    if isinstance(value, bool):
        node.fail("expected a number")
    if not isinstance(value, str):
        return value
    for convert in (int, float):
        try:
            number = convert(value)
        except ValueError:
            continue
        if abs(number) < _LARGEST:  # not: nan, inf
            return number
    return node.fail("expected a number")


TEXT = Leaf(Node.text, {"type": "string", "minLength": 1}, "text")
BOOLEAN = Leaf(_boolean, {"type": "boolean"})
SECONDS = Leaf(
    _seconds,
    {"type": "number", "minimum": 0, "maximum": _MAX_SECONDS, "description": "Seconds."},
    "seconds",
)
TAGS = MapOf(TEXT, name="tags")
_VALUE = {"type": ["string", "number", "boolean"]}
PLAIN = Leaf(_plain, _VALUE, "value")
CONNECTION = MapOf(PLAIN, required=("bootstrap.servers",))
WITH_SECRETS = MapOf(Leaf(_with_secrets, _VALUE, "value"), name="values")
REGISTRY = MapOf(Leaf(_text_with_secrets, TEXT.json, TEXT.name), required=("url",))
SETTING = Either(
    PLAIN,
    Record(
        {
            "value": Field(PLAIN, required=True),
            "type": Field(Leaf(_type, {"enum": list(_TYPES)}), required=True),
        },
        make=lambda values: cast("Value", values["value"]),
        name="typed",
        checks=(_convert,),
    ),
)
SETTINGS = MapOf(SETTING)
