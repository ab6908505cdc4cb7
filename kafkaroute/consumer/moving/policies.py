"""What decides when the new place of a channel may be read (the setting ``on_move``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from .leaving import Leaving

__all__ = ["MovePolicy", "move_policy"]


class MovePolicy(Protocol):
    """One way to order what is read of two places.

    Attributes:
        holds: the new place waits for the old one; else both are read at once.
    """

    @property
    def holds(self) -> bool: ...

    def may_read(self, leaving: Leaving, now: float, partition: int | None = None) -> bool:
        """Whether this partition of the new place (None: all of them) may be read now, while the
        old one is being left. Once True, it stays so."""


class _Ordered:
    """All of the new place, when producers had time to leave the old one and it is empty."""

    holds: Final = True

    def may_read(self, leaving: Leaving, now: float, partition: int | None = None) -> bool:
        del partition  # this policy knows only the place as a whole
        return now >= leaving.since and leaving.outcome is not None


class _Overlap:
    """Both places from the beginning."""

    holds: Final = False

    def may_read(self, leaving: Leaving, now: float, partition: int | None = None) -> bool:
        del leaving, now, partition
        return True


_POLICIES: Final[Mapping[str, MovePolicy]] = {"ordered": _Ordered(), "overlap": _Overlap()}


def move_policy(name: str) -> MovePolicy:
    """The policy that the setting ``on_move`` names."""
    return _POLICIES[name]
