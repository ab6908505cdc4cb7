"""Equal settings kept once: a thousand channels on one cluster share its three tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ...route import Route

__all__ = ["Interner"]

#: Tables kept before the first look for those that no route uses any more.
_FIRST_SWEEP = 256


class Interner:
    """Not thread-safe; its cache's lock guards it."""

    def __init__(self) -> None:
        self._tables: dict[tuple[tuple[str, type, Any], ...], Mapping[str, Any]] = {}
        self._sweep_at = _FIRST_SWEEP

    def shared(self, route: Route) -> Route:
        """An equal route whose tables are those of earlier equal ones."""
        if route.members is not None:
            members = {k: one and self.shared(one) for k, one in route.members.items()}
            return replace(route, members=MappingProxyType(members))
        return replace(
            route,
            connection=self._one(route.connection),
            credentials=self._one(route.credentials),
            configuration=self._one(route.configuration),
        )

    def _one(self, table: Mapping[str, Any]) -> Mapping[str, Any]:
        # With the type: 1 == True, but they are different settings.
        key = tuple(sorted((name, type(value), value) for name, value in table.items()))
        return self._tables.setdefault(key, table)

    def sweep(self, routes: Iterable[Route]) -> None:
        """Drop tables that none of `routes` uses, when enough have come together to pay for it.

        Rotated credentials would otherwise stay for the life of the process.
        """
        if len(self._tables) < self._sweep_at:
            return
        used = {
            id(table)
            for route in routes
            for table in (route.connection, route.credentials, route.configuration)
        }
        self._tables = {key: table for key, table in self._tables.items() if id(table) in used}
        self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._tables))
