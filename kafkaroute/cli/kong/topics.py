"""``resolve_subject_by`` of a Kong routing rule: how the topic is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ...rules.model import valid_topic
from ...rules.yaml_nodes import Node
from .lua_functions import LuaFunctionError, Piece, pieces, template
from .reader import entries, text_of

__all__ = ["Found", "Note", "Untranslatable", "topic"]

#: Takes the place and the reason of something that needs a hand.
Note = Callable[[Node, str], None]


class Untranslatable(ValueError):
    """`node` stands for something that has no counterpart in a rules file."""

    def __init__(self, node: Node, reason: str) -> None:
        super().__init__(reason)
        self.node = node
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Found:
    """A template, or else a table with the way to its key (a segment, or a part of the URI)."""

    template: str | None = None
    segment: int | None = None
    part: str | None = None
    table: dict[str, str] = field(default_factory=dict)


def topic(node: Node, note: Note) -> Found:
    """What `node`, a ``resolve_subject_by``, says.

    Raises:
        Untranslatable: its type or its function is not known here.
    """
    fields = entries(node)
    kind = text_of(fields.get("type"))
    if kind is None:
        kind = "transform" if "transform_function" in fields else "lookup"
    if kind == "transform":
        place, made = _read(node, fields.get("transform_function"), kind)
        try:
            return Found(template=template(made) or _refuse(place, "it always returns nothing"))
        except LuaFunctionError as error:
            raise Untranslatable(place, f"transform function: {error}") from None
    if kind != "lookup":
        raise Untranslatable(fields["type"], f"unknown type {kind!r}")
    place, made = _read(node, fields.get("lookup_key_function"), kind)
    return _lookup(place, made, _table(fields.get("lookup_table"), note))


def _refuse(node: Node, reason: str) -> str:
    raise Untranslatable(node, reason)


def _read(node: Node, function: Node | None, kind: str) -> tuple[Node, list[Piece]]:
    source = text_of(function)
    if function is None or source is None:
        raise Untranslatable(function or node, f"a {kind} without its function")
    try:
        return function, pieces(source)
    except LuaFunctionError as error:
        raise Untranslatable(function, f"{kind} function: {error}") from None


def _table(node: Node | None, note: Note) -> dict[str, str]:
    table = {}
    for key, child in entries(node).items():
        name = text_of(child)
        if name is None or not valid_topic(name):
            note(child, "the table's entry is no topic name; left out")
            continue
        table[key] = name
    return table


def _lookup(place: Node, made: list[Piece], table: dict[str, str]) -> Found:
    variables = [piece for piece in made if not isinstance(piece, str)]
    if not variables:
        found = table.get("".join(piece for piece in made if isinstance(piece, str)))
        return Found(template=found) if found else Found(segment=-1)
    if len(variables) > 1:
        raise Untranslatable(place, "lookup function: a key of several parts of the channel")
    # Literals around the one part are taken off the table's keys instead: the same answers.
    [at] = [number for number, piece in enumerate(made) if not isinstance(piece, str)]
    before = "".join(piece for piece in made[:at] if isinstance(piece, str))
    after = "".join(piece for piece in made[at + 1 :] if isinstance(piece, str))
    stripped = {
        key[len(before) : len(key) - len(after)]: name
        for key, name in table.items()
        if key.startswith(before) and key.endswith(after) and len(key) >= len(before) + len(after)
    }
    kind, number = variables[0]
    if kind == "segment":
        return Found(segment=number, table=stripped)
    return Found(part=kind, table=stripped)
