"""The rules file (docs/rules.md) described: YAML in, checked :class:`Rules` out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..channel import Channel
from ..errors import ChannelInvalid, ConfigurationError
from ..extras import how_to_get
from .model import (
    PREVIOUS_FOR,
    Authentication,
    Certificates,
    ChannelKey,
    Cluster,
    Credentials,
    Move,
    Profile,
    Rules,
    Target,
    channel_key,
)

try:
    from .callers import AUTHENTICATION, CALLER, may_ask
    from .shapes import Defs, Field, Leaf, ListOf, Nodes, Reading, Record, Values, read_alone
    from .topics import RULE, START_AT, TOPIC
    from .values import CONNECTION, REGISTRY, SECONDS, SETTINGS, TAGS, TEXT, WITH_SECRETS
    from .yaml_nodes import Node, parse
except ModuleNotFoundError as error:
    raise ConfigurationError(how_to_get("rules files", error) or str(error)) from error

__all__ = ["json_schema", "load_rules", "parse_rules", "read_document", "read_rules"]

#: The only version of the format so far.
FORMAT_VERSION = 1
_DOTTED = "Client settings by librdkafka's dotted names."
#: Stands in for a section that cannot be read: not every caller needs a password, and any may have
#: credentials.
_ANY_WAY = Authentication(certificates=Certificates(listed_only=False))


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
    return read_alone(_ROOT, parse(text, file))


def read_rules(root: Node) -> tuple[Rules | None, list[str]]:
    """The rules in a document, or everything that is wrong with it in the document's order."""
    reading = Reading()
    return reading.attempt(root, _ROOT.read, root, reading), reading.problems()


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of rules files, for editors."""
    defs: Defs = {}
    made = _ROOT.schema(defs)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "kafkaroute rules",
        "description": "Which Kafka clusters there are and which channel lives where.",
        **made,
        "$defs": defs,
    }


def _version(node: Node) -> int:
    if (version := node.integer()) != FORMAT_VERSION:
        node.fail(f"this release reads version {FORMAT_VERSION}")
    return version


def _channel(node: Node) -> Channel:
    try:
        return Channel.parse(node.text())
    except ChannelInvalid as error:
        node.fail(str(error))


def _new_cluster(node: Node, _nodes: Nodes, values: Values, reading: Reading) -> None:
    if (name := values.get("name")) is None:
        return
    if name in reading.clusters:
        node.fail(f"two clusters are named {name!r}")
    reading.clusters.append(name)


class _KnownCluster:
    """The name of a cluster that stands above."""

    def read(self, node: Node, reading: Reading) -> str:
        if (name := node.text()) not in reading.clusters:
            node.fail(f"no cluster is named {name!r}")
        return name

    def schema(self, defs: Defs) -> dict[str, Any]:
        return TEXT.schema(defs)


class _KnownCaller:
    """Who may ask, or ``*``."""

    def read(self, node: Node, reading: Reading) -> str:
        caller = node.text()
        if not may_ask(caller, reading.callers, reading.authentication):
            node.fail("this caller is not among 'callers'")
        return caller

    def schema(self, _defs: Defs) -> dict[str, Any]:
        return dict(TEXT.json)


class _AuthenticationSection:
    """What is accepted besides passwords, for the sections that are read after it."""

    def read(self, node: Node, reading: Reading) -> Authentication:
        reading.accept(_ANY_WAY)
        found = AUTHENTICATION.read(node, reading)
        reading.accept(found)
        return found

    def schema(self, defs: Defs) -> dict[str, Any]:
        return AUTHENTICATION.schema(defs)


def _move(values: Values) -> Move:
    target = Target(values["topic"], values.get("start_at"))
    return Move(values["channel"], values["cluster"], target)


class _Moves:
    """Moves by channel, each once."""

    def read(self, node: Node, reading: Reading) -> Mapping[ChannelKey, Move]:
        found: dict[ChannelKey, Move] = {}
        for item in node.items():
            move = reading.attempt(item, _MOVE.read, item, reading)
            if move is None:
                continue
            if found.setdefault(channel_key(move.channel), move) is not move:
                reading.attempt(item, item.fail, "this channel stands here twice")
        return MappingProxyType(found)

    def schema(self, defs: Defs) -> dict[str, Any]:
        return ListOf(_MOVE).schema(defs)


def _credentials(values: Values) -> Credentials:
    return Credentials(clusters=frozenset(values.pop("clusters", ())), **values)


def _rules(values: Values) -> Rules:
    values.pop("version", None)
    values.update(values.pop("cache", {}))
    values.update(values.pop("history", {}))
    callers = {caller.name: caller for caller in values.pop("callers", ())}
    return Rules(callers=MappingProxyType(callers), **{"previous_for": PREVIOUS_FOR, **values})


_CLUSTER = Record(
    {
        "name": Field(TEXT, required=True),
        "connection": Field(CONNECTION, _DOTTED, required=True),
        "tags": Field(TAGS, "Chosen by the query parameters kafka.NAME."),
        "cluster_id": Field(TEXT),
        "schema_registry": Field(REGISTRY, "Settings of the schema registry beside the cluster."),
        "rules": Field(ListOf(RULE), "In this order: the first that matches wins.", required=True),
    },
    make=lambda values: Cluster(**values),
    name="cluster",
    checks=(_new_cluster,),
)
_MOVE = Record(
    {
        "channel": Field(Leaf(_channel, TEXT.json, TEXT.name), required=True),
        "cluster": Field(_KnownCluster(), "A cluster's name.", required=True),
        "topic": Field(TOPIC, required=True),
        "start_at": Field(START_AT),
        "at": Field(Leaf(Node.scalar, {"type": "string"}), "When it was moved; for people."),
    },
    make=_move,
    name="move",
)
_PROFILE = Record(
    {
        "name": Field(TEXT, required=True),
        "settings": Field(SETTINGS, _DOTTED, required=True),
        "tags": Field(TAGS, "Chosen by the query parameters config_profile.NAME."),
    },
    make=lambda values: Profile(**values),
    name="profile",
)
_CREDENTIALS = Record(
    {
        "caller": Field(_KnownCaller(), "One of the callers, or * for every other.", required=True),
        "clusters": Field(ListOf(_KnownCluster()), "Only for these clusters."),
        "values": Field(WITH_SECRETS, _DOTTED, required=True),
        "schema_registry": Field(
            WITH_SECRETS, "Added to the cluster's, such as basic.auth.user.info."
        ),
    },
    make=_credentials,
    name="credentials",
)
_CACHE = Record({"max_age": Field(SECONDS), "stale_if_error": Field(SECONDS)}, make=dict)
_HISTORY = Record(
    {
        "previous_for": Field(
            SECONDS,
            "How long an earlier place of a channel is answered as previous; a week by default.",
        )
    },
    make=dict,
)
#: Sections are read in this order: what one refers to stands above it.
_ROOT = Record(
    {
        "version": Field(Leaf(_version, {"const": FORMAT_VERSION}), "Version of the format."),
        "cache": Field(_CACHE, "Sent as Cache-Control."),
        "authentication": Field(_AuthenticationSection(), "What is accepted besides passwords."),
        "callers": Field(ListOf(CALLER), "Who may ask; without this section everyone."),
        "clusters": Field(
            ListOf(_CLUSTER), "In this order: the first with a matching rule wins.", required=True
        ),
        "credentials": Field(ListOf(_CREDENTIALS), "What a caller uses on Kafka."),
        "moves": Field(
            _Moves(),
            "Single channels whose place comes before the clusters' rules. The service writes here "
            "what POST /v1/moves asks for.",
        ),
        "history": Field(_HISTORY, "Earlier places of channels."),
        "profiles": Field(ListOf(_PROFILE), "Named sets of client settings.", required=True),
    },
    make=_rules,
    json={
        "allOf": [
            {
                "if": {"not": {"required": ["authentication"]}},
                "then": {
                    "properties": {
                        "callers": {
                            "items": {
                                "anyOf": [
                                    {"required": ["password"]},
                                    {"required": ["password_hash"]},
                                ]
                            }
                        }
                    }
                },
            }
        ]
    },
)
