"""What moves need of the Consumer that they are part of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ...members import Member
from ...messages import TopicPartition
from ...router import Place

__all__ = ["Ground"]


class Ground(Protocol):
    """All calls are made on the polling thread, in the Consumer's turn."""

    def join(self, member: Member) -> None:
        """Subscribe the native consumer to what the member wants now; the Consumer polls it."""

    def part(self, member: Member, *, behind: bool = False) -> None:
        """Close a native consumer that nobody needs any more (it commits and leaves its group).

        `behind`: on a thread of its own. The application must have nothing to hear of it then.
        """

    def tell_revoked(self, member: Member, partitions: Sequence[TopicPartition]) -> None:
        """Call the application's on_revoke, though the group took nothing away."""

    def tell_assigned(self, member: Member, partitions: Sequence[TopicPartition]) -> None:
        """Call the application's on_assign, though the group has given them before."""

    def wake(self) -> None:
        """There is something to do at the next step."""

    def commits(self, place: Place) -> bool:
        """Whether the group commits what it has read at `place`: by itself, or the application has
        done so."""
