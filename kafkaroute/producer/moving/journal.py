"""What one mover has told people, and how far each channel has come."""

from __future__ import annotations

from typing import NamedTuple

from ...events import Announcer, Phase, RouteChange, Spot
from ...places import Place, spot_of
from ...route import Route

__all__ = ["Change", "Journal"]


class Change(NamedTuple):
    """Where a channel goes: by which routes, and between which places."""

    channel: str
    old: Route
    new: Route
    old_place: Place
    place: Place

    @property
    def ends(self) -> tuple[Spot, Spot]:
        """The two ends as people name them."""
        old, new = self.old, self.new
        return (
            spot_of(self.old_place, old.topic, route=old),
            spot_of(self.place, new.topic, route=new),
        )


class Journal:
    """Tells each phase of a mover's changes once, and remembers the last.

    Attributes:
        plan: channel → the change under way.
        phases: channel → its last phase.
    """

    def __init__(self, announcer: Announcer) -> None:
        self._announcer = announcer
        self.plan: dict[str, Change] = {}
        self.phases: dict[str, Phase] = {}

    def saw(self, change: Change) -> bool:
        """Take the change into the plan; True (and told) when it is news."""
        known = self.plan.get(change.channel)
        self.plan[change.channel] = change
        if known is not None and known.new == change.new:
            return False
        self.tell(Phase.SEEN, change)
        return True

    def tell(
        self, phase: Phase, change: Change, *, count: int | None = None, detail: str = ""
    ) -> None:
        """Announce a phase. No locks held."""
        self.phases[change.channel] = phase
        old, new = change.ends
        self._announcer.tell(
            RouteChange(change.channel, "produce", phase, old, new, count, detail=detail)
        )

    def forget(self, channel: str) -> None:
        """The channel's move is over."""
        self.plan.pop(channel, None)
        self.phases.pop(channel, None)
