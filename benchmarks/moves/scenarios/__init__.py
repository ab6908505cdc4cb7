"""The scenarios: what happens to a channel while it is used, and what may come of it."""

from __future__ import annotations

from . import connections, members, outages, places
from .registry import SCENARIOS as _FOUND
from .registry import Scenario

__all__ = ["SCENARIOS", "Scenario", "connections", "members", "outages", "places"]

#: By number, in its order.
SCENARIOS: dict[str, Scenario] = dict(
    sorted(_FOUND.items(), key=lambda one: (int(one[0].rstrip("ab")), one[0]))
)
