"""The rules of a cluster: which channels they match, and how they name the topic."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import re2

from .key_rules import ExactlyOne, Needs, NotBoth
from .model import ASKER_PARTS, Lookup, Predicate, Rule, Target, Transform, valid_topic
from .shapes import Either, Field, Leaf, MapOf, Nodes, Reading, Record, Values
from .values import TEXT
from .yaml_nodes import Node

__all__ = ["RULE", "START_AT", "TOPIC"]

_Pieces = tuple[str | tuple[str, Any], ...]
#: Parts of a channel that a regular expression may be matched against; with ``uri``, the whole.
PARTS = ("scheme", "host", "path")
_MATCHED = (*PARTS, "uri")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@lru_cache(maxsize=10_000)
def _compiled(text: str) -> Any:
    """One object for one text: earlier rules share most of theirs with today's."""
    options = re2.Options()
    options.log_errors = False  # it would write to stderr by itself
    return re2.compile(text, options)


def _pattern(node: Node) -> Any:
    try:
        return _compiled(node.text())
    except re2.error as error:
        cause = error.args[0] if error.args else error
        text = cause.decode("utf-8", "replace") if isinstance(cause, bytes) else str(cause)
        node.fail(f"not a regular expression (RE2 syntax): {text}")


def _topic(node: Node) -> str:
    name = node.text()
    if not valid_topic(name):
        node.fail(f"{name!r} is no topic name (1-249 letters, digits, '.', '_' and '-')")
    return name


def _start_at(node: Node) -> str:
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


def _part(node: Node) -> str:
    part = node.text()
    if part not in _MATCHED:
        node.fail("expected scheme, host, path or uri")
    return part


def _segment(node: Node) -> int:
    if (number := node.integer()) == 0:
        node.fail("segments count from 1, or from -1 at the end")
    return number


def _pieces(node: Node, pattern: Any = None) -> _Pieces:
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
        if not re.fullmatch(r"-?[1-9][0-9]{0,8}", number):
            node.fail(f"{{{name}}}: segments count from 1, or from -1 at the end")
        return ("segment", int(number))
    if pattern is not None:
        if re.fullmatch("[0-9]{1,9}", name) and int(name) <= pattern.groups:
            return ("group", int(name))
        if name in pattern.groupindex:
            return ("group", name)
    return node.fail(
        f"unknown placeholder {{{name}}}; known: {{scheme}}, {{host}}, {{key}}, {{segment:N}} and "
        "the groups of 'pattern', by number or name"
    )


def _template(_node: Node, nodes: Nodes, values: Values, _reading: Reading) -> None:
    """The pieces of a template depend on the pattern's groups."""
    if "template" in values and ("pattern" in values or "pattern" not in nodes):
        values["template"] = _pieces(nodes["template"], values.get("pattern"))


def _lookup(values: Values) -> Lookup:
    return Lookup(**values)


def _transform(values: Values) -> Transform:
    return Transform(pieces=values.pop("template"), **values)


def _predicates(values: Values) -> tuple[Predicate, ...]:
    return tuple(Predicate(part, pattern) for part, pattern in values.items())


def _rule(values: Values) -> Rule:
    topic = values.get("lookup") or values["transform"]
    return Rule(values.get("match", ()), topic)


TOPIC = Leaf(
    _topic,
    {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,249}$", "not": {"enum": [".", ".."]}},
    "topic",
)
PATTERN = Leaf(
    _pattern,
    {
        "type": "string",
        "minLength": 1,
        "description": "An RE2 expression; it must match the whole part.",
    },
    "pattern",
)
PART = Leaf(
    _part,
    {"enum": list(_MATCHED), "description": "What the pattern is matched against."},
    "part",
)
START_AT = Leaf(
    _start_at,
    {
        "anyOf": [
            {"enum": ["earliest", "latest"]},
            {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].+"},
        ],
        "description": "Where a consumer without committed offsets starts: earliest, latest or an "
        "RFC 3339 time.",
    },
    "start_at",
)
GENERATION = Leaf(
    Node.integer,
    {"type": "integer", "description": "Grows with every change of the route."},
    "generation",
)
_PART_NEEDS_A_PATTERN = Needs(
    "part", "pattern", "'part' says what 'pattern' is matched against, and there is none"
)
TARGET = Record(
    {
        "topic": Field(TOPIC, required=True),
        "start_at": Field(START_AT),
        "generation": Field(GENERATION),
    },
    make=lambda values: Target(**values),
    name="target",
)
LOOKUP = Record(
    {
        "segment": Field(
            Leaf(_segment, {"type": "integer", "not": {"const": 0}}),
            "Which path segment is the key: 1 is the first, -1 the last.",
        ),
        "part": Field(PART),
        "pattern": Field(PATTERN),
        "table": Field(
            MapOf(Either(Leaf(lambda node: Target(_topic(node)), TOPIC.json, "topic"), TARGET)),
            required=True,
        ),
    },
    make=_lookup,
    name="lookup",
    rules=(
        NotBoth("segment", "pattern", "the key is taken either by 'segment' or by 'pattern'"),
        _PART_NEEDS_A_PATTERN,
    ),
)
TRANSFORM = Record(
    {
        "template": Field(TEXT, required=True),
        "part": Field(PART),
        "pattern": Field(PATTERN),
        "start_at": Field(START_AT),
        "generation": Field(GENERATION),
    },
    make=_transform,
    name="transform",
    rules=(_PART_NEEDS_A_PATTERN,),
    checks=(_template,),
)
RULE = Record(
    {
        "match": Field(
            Record({part: Field(PATTERN) for part in (*PARTS, *ASKER_PARTS)}, make=_predicates),
            "All of them must match.",
        ),
        "lookup": Field(LOOKUP),
        "transform": Field(
            Either(Leaf(lambda node: Transform(_pieces(node)), TEXT.json, TEXT.name), TRANSFORM)
        ),
    },
    make=_rule,
    name="rule",
    rules=(ExactlyOne("lookup", "transform", "a rule has either 'lookup' or 'transform'"),),
)
