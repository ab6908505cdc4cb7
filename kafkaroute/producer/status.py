"""What a Producer's routes() answers."""

from __future__ import annotations

from ..events import RouteStatus
from .client import Home, Link, spot_of
from .dispatch import Dispatch
from .moving.mover import Mover

__all__ = ["status_of"]


def status_of(dispatch: Dispatch) -> dict[str, RouteStatus]:
    """Channel → how it stands, for every channel in use."""
    with dispatch.lock:
        homes = dict(dispatch.homes)
        movers = list(dispatch.movers.values())
    on_the_way = {channel: mover for mover in movers for channel in mover.journal.phases}
    held: dict[Link, int] = {}
    undelivered: dict[Link, int] = {}
    for home in homes.values():
        if home.link not in held:
            held[home.link] = home.link.kept()
            undelivered[home.link] = len(home.link.client)
    return {
        channel: _status(
            dispatch,
            channel,
            home,
            on_the_way.get(channel),
            held[home.link] + dispatch.fronts.kept(channel, home.link.hold),
            undelivered[home.link],
        )
        for channel, home in homes.items()
    }


def _status(
    dispatch: Dispatch, channel: str, home: Home, mover: Mover | None, held: int, undelivered: int
) -> RouteStatus:
    spot = spot_of(home.link.place, home.route)
    error = dispatch.router.cache.state(channel).error
    if mover is None or (change := mover.journal.plan.get(channel)) is None:
        phase = None if mover is None else mover.journal.phases.get(channel)
        return RouteStatus(channel, spot, phase, held=held, undelivered=undelivered, error=error)
    old, new = change.ends
    gone = home.route == change.new
    return RouteStatus(
        channel,
        spot,
        mover.journal.phases.get(channel),
        next=() if gone else (new,),
        behind=(old,) if gone else (),
        held=held,
        undelivered=undelivered,
        error=mover.opening.refusal(channel, change.new) or error,
    )
