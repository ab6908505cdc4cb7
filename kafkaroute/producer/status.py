"""What a Producer's routes() answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..events import Phase, RouteStatus, Spot
from ..route import Route
from .client import Client, Home
from .table import Table

__all__ = ["Underway", "status_of"]


class Underway(NamedTuple):
    """A channel that moves: how far it has come, by which route, between which places (None while
    its client is emptied for others), and why the new place cannot be taken."""

    phase: Phase | None
    new: Route | None = None
    ends: tuple[Spot, Spot] | None = None
    refusal: str | None = None


def status_of(table: Table, underway: Mapping[str, Underway]) -> dict[str, RouteStatus]:
    """Channel → how it stands, for every channel in use; `underway`: those that move."""
    with table.locked():
        homes = dict(table.homes)
    held: dict[Client, int] = {}
    undelivered: dict[Client, int] = {}
    for home in homes.values():
        if home.client not in held:
            held[home.client] = home.client.kept()
            undelivered[home.client] = len(home.client.native)
    return {
        channel: _status(
            table,
            channel,
            home,
            underway.get(channel, _AT_REST),
            held[home.client] + table.holds.kept(channel, home.client.hold),
            undelivered[home.client],
        )
        for channel, home in homes.items()
    }


_AT_REST = Underway(None)


def _status(
    table: Table, channel: str, home: Home, move: Underway, held: int, undelivered: int
) -> RouteStatus:
    spot = home.spot
    error, phase = table.router.cache.state(channel).error, move.phase
    if move.ends is None:
        return RouteStatus(channel, spot, phase, held=held, undelivered=undelivered, error=error)
    old, new = move.ends
    gone = home.route == move.new
    return RouteStatus(
        channel,
        spot,
        phase,
        next=() if gone else (new,),
        behind=(old,) if gone else (),
        held=held,
        undelivered=undelivered,
        error=move.refusal or error,
    )
