"""One question to a catalog, its answer checked; every failure as a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from ...channel import Channel
from ...errors import CatalogAnswerInvalid, CatalogUnavailable, KafkarouteError
from ...route import Route
from ..contract import Catalog, Lookup

__all__ = ["Asker"]


class Asker:
    """Asks `catalog` for `intent`, within `timeout` seconds; `check` raises where a route must not
    be used."""

    def __init__(
        self,
        catalog: Catalog,
        intent: str,
        timeout: float,
        check: Callable[[Route], None] | None,
    ) -> None:
        self._catalog = catalog
        self._intent = intent
        self._timeout = timeout
        self._check = check

    def ask(self, channel: Channel, known: Route | None) -> Route | Exception:
        """The channel's route (`known` itself where the catalog says "unchanged"), or why not."""
        etag = known.etag if known is not None else None
        try:
            route = self._catalog.lookup(Lookup(channel, self._intent, etag, self._timeout))
            if route is None:
                if known is None:
                    return CatalogAnswerInvalid(f"the catalog has nothing new for {channel}")
                return known
            if route.members is not None:
                return self._usable_members(route, route.members)
            if self._check is not None and route != known:
                self._check(route)
        except KafkarouteError as error:
            return error.with_traceback(None)
        except Exception as error:
            return self._broken(channel, error)
        else:
            return route

    def _usable_members(self, pattern: Route, members: Mapping[str, Route | None]) -> Route:
        """`pattern` without the routes that must not be used: asked for by themselves they raise
        what is wrong with them, and cost the others nothing."""
        kept = {n: one if one and self.accepts(one) else None for n, one in members.items()}
        return replace(pattern, members=MappingProxyType(kept))

    @property
    def can_wait(self) -> bool:
        """Whether :meth:`changed` waits."""
        return self._catalog.can_wait

    def changed(self, channel: Channel, known: Route, seconds: float) -> bool | Exception:
        """Wait up to `seconds` for another answer than `known`; whether there is one, or why that
        cannot be told."""
        question = Lookup(channel, self._intent, known.etag, self._timeout)
        try:
            return self._catalog.wait(question, seconds)
        except KafkarouteError as error:
            return error.with_traceback(None)
        except Exception as error:
            return self._broken(channel, error)

    def _broken(self, channel: Channel, error: Exception) -> CatalogUnavailable:
        """A plug-in's mistake. Its text may hold anything: only its kind is told."""
        return CatalogUnavailable(
            f"{type(self._catalog).__name__} failed on {channel}: {type(error).__name__}"
        )

    def accepts(self, route: Route) -> bool:
        """Whether a route from elsewhere (the snapshot) may be used."""
        if route.members is not None:
            return all(one is None or self.accepts(one) for one in route.members.values())
        try:
            if self._check is not None:
                self._check(route)
        except KafkarouteError:
            return False
        return True
