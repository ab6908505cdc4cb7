"""Finds in a Kong declarative file what the service-gateway plug-in is configured with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...errors import ConfigurationError
from ...rules.yaml_nodes import Node

__all__ = ["Plugin", "User", "children", "entries", "placed", "plugins", "text_of", "users"]

_PLUGIN = "service-gateway"


@dataclass(frozen=True, slots=True)
class Plugin:
    """One instance of the plug-in, and the URL paths under which Kong serves it."""

    node: Node
    config: Node
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class User:
    """A basic-auth user, and the names by which its consumer is known."""

    consumer: frozenset[str]
    name: Node
    password: Node | None


def placed(node: Node, message: str) -> str:
    """`message` with file, line and key path before it."""
    try:
        node.fail(message)
    except ConfigurationError as error:
        return str(error)


def entries(node: Node | None) -> dict[str, Node]:
    """A mapping's values; nothing where there is none."""
    if node is None or (node.is_scalar and node.scalar() is None):
        return {}
    return dict(node.entries())


def children(node: Node | None) -> list[Node]:
    """A list's entries; nothing where there is none."""
    if node is None or (node.is_scalar and node.scalar() is None):
        return []
    return node.items()


def text_of(node: Node | None) -> str | None:
    """A string, or None where `node` is anything else."""
    value = node.scalar() if node is not None and node.is_scalar else None
    return value if isinstance(value, str) else None


def _reference(node: Node | None) -> str | None:
    """What a foreign key names: a string, or a mapping with `name`, `username` or `id`."""
    if node is None or not node.is_mapping:
        return text_of(node)
    found = entries(node)
    return next(
        (name for key in ("name", "username", "id") if (name := text_of(found.get(key)))), None
    )


def plugins(root: dict[str, Node]) -> list[Plugin]:
    """Every enabled instance: under services, under routes (nested or not) and at top level."""
    routes = list(_routes(root))
    found: list[Plugin] = []
    for node in children(root.get("plugins")):
        fields = entries(node)
        service, route = _reference(fields.get("service")), _reference(fields.get("route"))
        paths = [
            path
            for names, owners, its_paths in routes
            if (route is None or route in names) and (service is None or service in owners)
            for path in its_paths
        ]
        found += _instance(node, paths)
    for service_node in children(root.get("services")):
        fields = entries(service_node)
        own = _names(fields)
        paths = [path for _, owners, its_paths in routes if owners & own for path in its_paths]
        for node in children(fields.get("plugins")):
            found += _instance(node, paths)
        for route_node in children(fields.get("routes")):
            found += _of_route(route_node)
    for route_node in children(root.get("routes")):
        found += _of_route(route_node)
    return found


def _of_route(route: Node) -> Iterator[Plugin]:
    fields = entries(route)
    for node in children(fields.get("plugins")):
        yield from _instance(node, _paths(fields))


def _instance(node: Node, paths: list[str]) -> Iterator[Plugin]:
    fields = entries(node)
    enabled = fields.get("enabled")
    if "config" not in fields or (enabled is not None and enabled.scalar() is False):
        return
    config = fields["config"]
    if (text_of(fields.get("name")) or "").endswith(_PLUGIN) or _has_inventory(config):
        yield Plugin(node, config, tuple(dict.fromkeys(paths)))


def _has_inventory(config: Node) -> bool:
    inventory = entries(config).get("inventory") if config.is_mapping else None
    return inventory is not None and inventory.is_mapping and "kafka" in entries(inventory)


def _names(fields: dict[str, Node]) -> set[str]:
    return {name for key in ("name", "id") if (name := text_of(fields.get(key)))}


def _paths(fields: dict[str, Node]) -> list[str]:
    return [path for node in children(fields.get("paths")) if (path := text_of(node))]


def _routes(root: dict[str, Node]) -> Iterator[tuple[set[str], set[str], list[str]]]:
    """(names, names of the service, paths) of each route."""
    for service in children(root.get("services")):
        fields = entries(service)
        for route in children(fields.get("routes")):
            own = entries(route)
            yield _names(own), _names(fields), _paths(own)
    for route in children(root.get("routes")):
        own = entries(route)
        service_name = _reference(own.get("service"))
        yield _names(own), {service_name} if service_name else set(), _paths(own)


def users(root: dict[str, Node]) -> list[User]:
    """Basic-auth users, at top level or under their consumer."""
    known: dict[str, frozenset[str]] = {}
    found: list[User] = []
    for node in children(root.get("consumers")):
        fields = entries(node)
        names = frozenset(
            name for key in ("username", "custom_id", "id") if (name := text_of(fields.get(key)))
        )
        known.update(dict.fromkeys(names, names))
        found += _users(fields.get("basicauth_credentials"), names)
    for node in children(root.get("basicauth_credentials")):
        consumer = _reference(entries(node).get("consumer"))
        names = known.get(consumer, frozenset({consumer})) if consumer else frozenset()
        found += _users_of(node, names)
    return found


def _users(node: Node | None, consumer: frozenset[str]) -> Iterator[User]:
    for child in children(node):
        yield from _users_of(child, consumer)


def _users_of(node: Node, consumer: frozenset[str]) -> Iterator[User]:
    fields = entries(node)
    if "username" not in fields:
        node.fail("'username' is missing")
    yield User(consumer, fields["username"], fields.get("password"))
