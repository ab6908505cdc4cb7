"""Reads how a rule names its topic: look-up tables and templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import re2

from .model import Lookup, Target, Transform, valid_topic
from .yaml_nodes import Node

__all__ = [
    "PARTS",
    "read_generation",
    "read_lookup",
    "read_part",
    "read_pattern",
    "read_start_at",
    "read_target",
    "read_topic",
    "read_transform",
]

#: Parts of a channel that a regular expression may be matched against; with ``uri``, the whole.
PARTS = ("scheme", "host", "path")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@lru_cache(maxsize=10_000)
def _compiled(text: str) -> Any:
    """One object for one text: earlier rules share most of theirs with today's."""
    options = re2.Options()
    options.log_errors = False  # it would write to stderr by itself
    return re2.compile(text, options)


def read_pattern(node: Node) -> Any:
    try:
        return _compiled(node.text())
    except re2.error as error:
        cause = error.args[0] if error.args else error
        text = cause.decode("utf-8", "replace") if isinstance(cause, bytes) else str(cause)
        node.fail(f"not a regular expression (RE2 syntax): {text}")


def read_part(fields: Mapping[str, Node]) -> str:
    if "part" not in fields:
        return "path"
    part = fields["part"].text()
    if part not in {*PARTS, "uri"}:
        fields["part"].fail("expected scheme, host, path or uri")
    if "pattern" not in fields:
        fields["part"].fail("'part' says what 'pattern' is matched against, and there is none")
    return part


def read_lookup(node: Node) -> Lookup:
    fields = node.fields("segment", "part", "pattern", "table", required=("table",))
    if "segment" in fields and "pattern" in fields:
        node.fail("the key is taken either by 'segment' or by 'pattern'")
    segment = -1
    if "segment" in fields and (segment := fields["segment"].integer()) == 0:
        fields["segment"].fail("segments count from 1, or from -1 at the end")
    return Lookup(
        table={key: read_target(child) for key, child in fields["table"].entries()},
        segment=segment,
        part=read_part(fields),
        pattern=read_pattern(fields["pattern"]) if "pattern" in fields else None,
    )


def read_target(node: Node) -> Target:
    if not node.is_mapping:
        return Target(read_topic(node))
    fields = node.fields("topic", "start_at", "generation", required=("topic",))
    return Target(read_topic(fields["topic"]), read_start_at(fields), read_generation(fields))


def read_topic(node: Node) -> str:
    name = node.text()
    if not valid_topic(name):
        node.fail(f"{name!r} is no topic name (1-249 letters, digits, '.', '_' and '-')")
    return name


def read_start_at(fields: Mapping[str, Node]) -> str | None:
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


def read_generation(fields: Mapping[str, Node]) -> int | None:
    return fields["generation"].integer() if "generation" in fields else None


def read_transform(node: Node) -> Transform:
    if node.is_scalar:
        return Transform(_pieces(node, None))
    fields = node.fields(
        "template", "part", "pattern", "start_at", "generation", required=("template",)
    )
    pattern = read_pattern(fields["pattern"]) if "pattern" in fields else None
    return Transform(
        pieces=_pieces(fields["template"], pattern),
        part=read_part(fields),
        pattern=pattern,
        start_at=read_start_at(fields),
        generation=read_generation(fields),
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
