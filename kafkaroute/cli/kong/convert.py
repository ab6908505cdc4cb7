"""Turns a Kong declarative file into a rules file (``kafkaroute import-kong``).

What cannot be said in a rules file is left as a comment and in ``notes``. A routing rule of that
kind keeps its place, with an empty table: its channels then have no topic, instead of falling
through to a later rule and landing on another cluster.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ...errors import ConfigurationError
from ...rules.loader import parse_rules
from ...rules.model import Value
from ...rules.passwords import hash_password
from ...rules.secrets.refs import is_reference, reference_problem
from ...rules.shapes import read_alone
from ...rules.values import SETTING
from ...rules.yaml_nodes import Node, parse
from .lua_patterns import LuaPatternError, to_re2
from .reader import Plugin, User, children, entries, placed, plugins, text_of, users
from .topics import Found, Untranslatable, topic
from .writer import Writer

__all__ = ["Converted", "convert"]

_PARTS = ("scheme", "host", "path")
#: What of a Lua pattern is no literal text: classes, escapes and sets.
_LITERALS = re.compile(r"%.|\[\^?\]?[^\]]*\]")
#: Never resolves (RFC 2606): stands where the file names no usable bootstrap servers.
_NO_SERVERS = "needs-a-hand.invalid:9092"


class Converted(NamedTuple):
    """The rules file's text, and what needs a hand, with its place in Kong's file."""

    text: str
    notes: list[str]


def convert(text: str, file: str, number: int | None = None) -> Converted:
    """The rules that answer as the plug-in in Kong's file `text` does.

    Args:
        file: the name used in messages.
        number: which instance of the plug-in, from 1; needed where there are several.

    Raises:
        ConfigurationError: not readable, no such plug-in, or several and no `number`.
    """
    root = entries(parse(text, file))
    made = _Conversion(_chosen(plugins(root), file, number), users(root))
    result = made.run()
    try:
        parse_rules(result, "the rules made of it")
    except ConfigurationError as error:
        made.notes.append(f"{file}: {error}")
    return Converted(result, made.notes)


def _chosen(found: list[Plugin], file: str, number: int | None) -> Plugin:
    if not found:
        raise ConfigurationError(f"{file}: no enabled service-gateway plug-in")
    if number is None and len(found) > 1:
        places = "; ".join(f"{n}: {p.node.path}" for n, p in enumerate(found, start=1))
        raise ConfigurationError(
            f"{file}: the plug-in is configured {len(found)} times, and a rules file holds one: "
            f"choose with --plugin N ({places})"
        )
    if number is not None and not 1 <= number <= len(found):
        raise ConfigurationError(f"--plugin must be 1 to {len(found)}")
    return found[(number or 1) - 1]


class _Conversion:
    def __init__(self, plugin: Plugin, users: list[User]) -> None:
        self.notes: list[str] = []
        self._plugin = plugin
        self._users = users
        self._out = Writer()
        self._indent = 0

    def _note(self, node: Node, reason: str) -> None:
        found = placed(node, reason)
        self.notes.append(found)
        self._out.comment(self._indent, f"NEEDS A HAND: {found}")

    def run(self) -> str:
        out = self._out
        out.comment(0, "Made of a Kong file by `kafkaroute import-kong`.")
        if self._plugin.paths:
            out.comment(0, f"Kong served it under: {', '.join(self._plugin.paths)}")
        out.line(0, "version: 1")
        config = entries(self._plugin.config)
        names = self._callers()
        self._credentials(children(config.get("credentials")), names)
        out.line(0, "clusters:")
        clusters = children(entries(config.get("inventory")).get("kafka"))
        if not clusters:
            self._note(self._plugin.config, "inventory.kafka is empty")
        taken: set[str] = set()
        for node in clusters:
            self._cluster(node, taken)
        if not clusters:
            out.line(2, "[]")
        profiles = children(config.get("configuration_profiles"))
        out.line(0, "profiles:" if profiles else "profiles: []")
        for node in profiles:
            self._profile(node)
        return out.text()

    def _callers(self) -> dict[str, list[str]]:
        """Writes the callers; their names by name of their consumer."""
        self._indent = 2
        names: dict[str, list[str]] = {}
        seen: set[str] = set()
        if not self._users:
            self._note(self._plugin.node, "no basic-auth users: these rules answer everyone")
            return names
        self._out.line(0, "callers:")
        for user in self._users:
            name = text_of(user.name)
            if not name or ":" in name or name in seen:
                self._note(user.name, "a user name that is empty, not unique or holds a colon")
                continue
            password = text_of(user.password)
            if user.password is None or not password:
                self._note(user.name, "a user without a password that is text; left out")
                continue
            if is_reference(password) and (problem := reference_problem(password)):
                self._note(user.password, f"{problem}; the user is left out")
                continue
            seen.add(name)
            self._out.pair(2, "name", name, "- ")
            if is_reference(password):
                self._out.pair(4, "password", password)
            else:
                self._out.pair(4, "password_hash", hash_password(password))
            for consumer in user.consumer:
                names.setdefault(consumer, []).append(name)
        if not seen:
            # Without callers everyone would be answered; this one has a password nobody knows.
            self._note(self._plugin.node, "no user could be taken over")
            self._out.pair(2, "name", "nobody", "- ")
            self._out.pair(4, "password", "{vault://env/kafkaroute-no-user}")
        return names

    def _credentials(self, nodes: list[Node], names: dict[str, list[str]]) -> None:
        self._indent = 2
        found: dict[str, tuple[str | None, dict[str, Value]]] = {}
        self._out.line(0, "credentials:")
        for node in nodes:
            fields = entries(node)
            consumer = text_of(fields.get("consumer"))
            if consumer is None or consumer not in names:
                self._note(node, "credentials of a consumer without a basic-auth user; left out")
                continue
            values = self._values(fields.get("value"), secrets=True)
            for name in names[consumer]:
                if name in found:
                    self._note(node, "a second entry for this consumer; left out")
                    continue
                found[name] = (text_of(fields.get("name")), values)
        for name, (label, values) in found.items():
            if label:
                self._out.comment(2, f"{label} in Kong's file")
            self._out.pair(2, "caller", name, "- ")
            self._out.mapping(4, "values", values)
        if not found:
            self._out.line(2, "[]")

    def _values(self, node: Node | None, *, secrets: bool) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for key, child in entries(node).items():
            value = child.scalar() if child.is_scalar else None
            if not isinstance(value, (str, int, float, bool)):
                self._note(child, "neither a string, a number nor a boolean; left out")
            elif is_reference(value) and (problem := reference_problem(str(value))):
                self._note(child, f"{problem}; left out")
            elif is_reference(value) and not secrets:
                self._note(child, "secret references belong under credentials; left out")
            else:
                values[key] = value
        return values

    def _tags(self, node: Node | None) -> dict[str, Value]:
        if node is None or (node.is_scalar and node.scalar() is None):
            return {}
        if not node.is_mapping:
            self._note(node, "tags that are not a mapping; left out")
            return {}
        tags: dict[str, Value] = {}
        for key, child in entries(node).items():
            if value := text_of(child):
                tags[key] = value
            else:
                self._note(child, "a tag that is no string; left out")
        return tags

    def _cluster(self, node: Node, taken: set[str]) -> None:
        self._indent = 2
        fields = entries(node)
        name = text_of(fields.get("name")) or "unnamed"
        if "name" not in fields or name in taken:
            self._note(fields.get("name", node), "a cluster needs a name of its own")
            name = next(n for i in range(2, len(taken) + 3) if (n := f"{name}-{i}") not in taken)
        taken.add(name)
        connection = self._values(fields.get("connection"), secrets=False)
        if not connection.get("bootstrap.servers"):
            self._note(fields.get("connection", node), "'bootstrap.servers' is missing")
            connection = {**connection, "bootstrap.servers": _NO_SERVERS}
        tags = self._tags(fields.get("tags"))
        self._out.pair(2, "name", name, "- ")
        self._out.mapping(4, "connection", connection)
        if tags:
            self._out.mapping(4, "tags", tags)
        rules = children(fields.get("routing_rules"))
        self._out.line(4, "rules:" if rules else "rules: []")
        for rule in rules:
            self._rule(rule)

    def _rule(self, node: Node) -> None:
        self._indent = 6
        fields = entries(node)
        before = len(self.notes)
        match = self._match(children(fields.get("predicates")))
        blocked = len(self.notes) > before
        found = Found(segment=-1)
        if not blocked:
            try:
                found = topic(fields.get("resolve_subject_by", node), self._note)
            except Untranslatable as error:
                self._note(error.node, error.reason)
                blocked = True
        if blocked:
            self._out.comment(6, "Until then its channels have no topic:")
        out = self._out
        if match:
            out.line(6, "- match:")
            for part, expression in match.items():
                out.pair(10, part, expression)
        lead = "  " if match else "- "
        if found.template is not None:
            out.pair(6, "transform", found.template, lead)
            return
        out.line(6, f"{lead}lookup:")
        if found.part is not None:
            out.pair(10, "part", found.part)
            out.pair(10, "pattern", ".*")
        else:
            out.pair(10, "segment", found.segment or -1)
        out.mapping(10, "table", found.table)

    def _match(self, nodes: list[Node]) -> Mapping[str, str]:
        """Expressions by part; what is noted makes the match wider, never narrower."""
        match: dict[str, str] = {}
        for node in nodes:
            fields = entries(node)
            part, source = text_of(fields.get("part")), text_of(fields.get("expression"))
            if part not in _PARTS:
                self._note(fields.get("part", node), f"a predicate on none of {', '.join(_PARTS)}")
                continue
            if source is None:
                self._note(node, "a predicate without an expression that is text")
                continue
            place = fields["expression"]
            if part == "path" and source.endswith("/$"):
                self._note(place, "asks for a slash at the path's end, which our paths have not")
                continue
            if part != "path" and _LITERALS.sub("", source).lower() != _LITERALS.sub("", source):
                self._note(place, f"asks for capitals, and a {part} is in lower case here")
                continue
            try:
                expression = to_re2(source)
            except LuaPatternError as error:
                self._note(place, f"Lua pattern {source!r}: {error}")
                continue
            if match.setdefault(part, expression) != expression:
                self._note(place, f"a second expression for the {part}: join the two by hand")
        return match

    def _profile(self, node: Node) -> None:
        self._indent = 2
        fields = entries(node)
        settings: dict[str, Value] = {}
        for key, child in entries(fields.get("configs")).items():
            try:
                value = read_alone(SETTING, child) if child.is_mapping else child.scalar()
            except ConfigurationError as error:
                self.notes.append(str(error))
                self._out.comment(2, f"NEEDS A HAND: {error}")
                continue
            if is_reference(value) or not isinstance(value, (str, int, float, bool)):
                self._note(child, "neither a string, a number nor a boolean; left out")
                continue
            settings[key] = value
        tags = self._tags(fields.get("tags"))
        name = text_of(fields.get("name"))
        if not name:
            self._note(node, "a profile without a name")
        self._out.pair(2, "name", name or "unnamed", "- ")
        self._out.mapping(4, "settings", settings)
        if tags:
            self._out.mapping(4, "tags", tags)
