"""Changes the section ``moves`` of a rules document, and leaves every other letter as it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import yaml

from ..channel import Channel
from ..errors import ConfigurationError
from .model import channel_key

__all__ = ["NewMove", "moves_in", "with_move"]

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_COMMENT = "# Channels that were moved (POST /v1/moves); they come before the clusters' rules.\n"

#: The entry of a move without its channel: cluster, topic and maybe start_at, at.
NewMove = Mapping[str, Any]


def _read(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)  # noqa: S506  # a safe loader


def moves_in(text: str) -> list[tuple[Channel, NewMove]]:
    """The entries of ``moves`` in a sound document, as :func:`with_move` takes them."""
    document = _read(text)
    return [
        (Channel.parse(entry["channel"]), {k: v for k, v in entry.items() if k != "channel"})
        for entry in document.get("moves") or ()
    ]


def with_move(text: str, channel: Channel, move: NewMove | None) -> str:
    """The document `text`, sound rules, with `move` as the one of `channel`; None: with none.

    Raises:
        ConfigurationError: it is written in a way that cannot be changed like this.
    """
    before = _read(text)
    kept = [
        entry
        for entry in before.get("moves") or ()
        if channel_key(Channel.parse(entry["channel"])) != channel_key(channel)
    ]
    moves = [*kept, {"channel": channel.uri, **move}] if move is not None else kept
    changed = _replaced(text, moves)
    try:
        after = _read(changed)
    except yaml.YAMLError:
        after = None
    if after != {**before, "moves": moves}:
        raise ConfigurationError(
            "the rules document is written in a way in which 'moves' cannot be changed by a "
            "program: write it as a block mapping, with 'moves' at its end"
        )
    return changed


def _replaced(text: str, moves: list[Mapping[str, Any]]) -> str:
    root = yaml.compose(text, Loader=_Loader)
    assert isinstance(root, yaml.MappingNode), "the rules are sound"
    for key, value in root.value:
        if key.value == "moves":
            return text[: key.start_mark.index] + _block(moves) + text[_end(value) :]
    if text and not text.endswith("\n"):
        text += "\n"
    return f"{text}\n{_COMMENT}{_block(moves)}\n"


def _end(node: yaml.Node) -> int:
    """Where the node's own text ends: a block's mark stands behind the comments that follow it."""
    children: Iterable[yaml.Node] = ()
    if isinstance(node, yaml.SequenceNode):
        children = node.value
    elif isinstance(node, yaml.MappingNode):
        children = [value for _, value in node.value]
    if getattr(node, "flow_style", True) or not children:
        return int(node.end_mark.index)
    return max(_end(child) for child in children)


def _block(moves: list[Mapping[str, Any]]) -> str:
    if not moves:
        return "moves: []"
    lines = [
        "  - {" + ", ".join(f"{key}: {_quoted(value)}" for key, value in move.items()) + "}"
        for move in moves
    ]
    return "\n".join(("moves:", *lines))


def _quoted(value: object) -> str:
    """JSON's strings are YAML's. What was read as a time is written as one again."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return json.dumps(value, ensure_ascii=False)
