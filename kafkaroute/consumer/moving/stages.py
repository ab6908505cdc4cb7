"""The places of a channel that moves, in the order in which they are read."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Protocol

from ...events import Phase, RouteChange, Spot
from ...messages import TopicPartition
from ...places import Place, spot_of
from ...route import Route
from ..clients import Member
from ..pauses import Why
from .leaving import Leaving
from .opening import Opening

__all__ = ["Ground", "Stage", "State", "Telling", "Way"]


class State(Enum):
    """How a stage is used."""

    #: Not known to answer yet.
    OPENING = auto()
    #: It answered; its turn has not come.
    OPENED = auto()
    #: Assigned, paused.
    HELD = auto()
    #: Read.
    READ = auto()
    #: Read on for late messages.
    LEFT = auto()


class Stage:
    """One place of one channel.

    Attributes:
        opened: time.monotonic() when it was known to answer.
        since: from when on it is read where nothing is committed and the catalog does not say;
            seconds since the epoch. None is its beginning: also where the channel came here while
            nobody looked.
        member: the native consumer that serves it; None until its turn comes.
        cluster_id: the Kafka cluster's, once known.
        by_move: the channel came here while this Consumer ran, so that a missing offset means the
            beginning.
        fresh: a pattern came to stand for the channel while this Consumer ran.
        unplaced: partitions that are paused until it is known where to start.
        positions: partition → where to go on, carried over from a native consumer that was closed.
        cut: the channel comes back here later: partition → end when that was heard of. What lies
            beyond comes after the places in between.
        begun: partition → offset where this member began to read it.
        starts: partition → offset where the group begins, of those without a committed one.
        note_of, noted: the old place that the ``held`` notes name, and until when each partition's
            note holds.
        returned: partition → offset of the first message that slipped through a pause.
        asked: partition → its end, and when its messages began to wait for the catalog's word.
        known: partition → end of what the catalog has said to be late.
        arriving: its native consumer was replaced, and the group has given the new one nothing yet.
        beside: left, but read beside the new place (``on_move="overlap"``).
        unread: left without knowing that it is empty.
        late: messages that came from it after it was left, and are not yet told of.
        heard: time.monotonic() of the last message, or of leaving.
    """

    __slots__ = (
        "arriving",
        "asked",
        "begun",
        "beside",
        "by_move",
        "cluster_id",
        "cut",
        "fresh",
        "heard",
        "known",
        "late",
        "member",
        "note_of",
        "noted",
        "opened",
        "opening",
        "place",
        "positions",
        "returned",
        "route",
        "since",
        "starts",
        "state",
        "told",
        "topic",
        "unplaced",
        "unread",
    )

    def __init__(self, route: Route, place: Place, state: State, *, by_move: bool) -> None:
        self.route = route
        self.place = place
        self.topic = route.topic
        self.opened = self.heard = time.monotonic()
        self.since: float | None = None
        self.state = state
        self.by_move = by_move
        self.member: Member | None = None
        self.cluster_id: str | None = None
        self.opening: Opening | None = None
        self.told: str | None = None
        self.unplaced: set[int] = set()
        self.positions: dict[int, int] = {}
        self.begun: dict[int, int] = {}
        self.starts: dict[int, int] = {}
        self.note_of: str | None = None
        self.noted: dict[int, int] = {}
        self.cut: Mapping[int, int] | None = None
        self.returned: dict[int, int] = {}
        self.asked: dict[int, tuple[int, float]] = {}
        self.known: dict[int, int] = {}
        self.arriving = self.beside = self.fresh = self.unread = False
        self.late = 0

    def spot(self) -> Spot:
        return spot_of(self.place, self.topic, route=self.route, cluster_id=self.cluster_id)

    @property
    def unanswered(self) -> float | None:
        """Since when (time.monotonic()) this place is asked and fails to answer; None: it does not."""
        asked = self.opening if self.state is State.OPENING else None
        return None if asked is None or asked.error is None else asked.began

    def give_up(self) -> None:
        """Ask the place no more: nobody goes there."""
        if self.opening is not None:
            self.opening.stop()
            self.opening = None

    def stay(self, route: Route) -> None:
        """The channel does not leave, nor come back later: `route` leads here, and what was put
        back behind the cut is read now."""
        self.route, self.cut = route, None
        self.returned.clear()
        if self.member is not None:
            self.member.kept.let_go_all(self.topic, Why.RETURNED)

    def is_at(self, place: object, topic: str) -> bool:
        return bool(self.place == place) and self.topic == topic


class Way:
    """One channel's way: the place that is read, those to come, those that were left."""

    __slots__ = ("channel", "leaving", "left", "phase", "stages")

    def __init__(self, channel: str, first: Stage) -> None:
        self.channel = channel
        #: The first is read, the others come after it in this order.
        self.stages = [first]
        #: Watched for late messages.
        self.left: list[Stage] = []
        self.leaving: Leaving | None = None
        self.phase: Phase | None = None

    @property
    def head(self) -> Stage:
        return self.stages[0]

    @property
    def moves(self) -> bool:
        head = self.stages[0]
        return len(self.stages) > 1 or bool(self.left or head.arriving or head.unplaced)

    @property
    def begins(self) -> bool:
        """Whether the channel does not move, but waits for where it starts."""
        return self.head.fresh and len(self.stages) == 1 and not self.left

    def before(self, stage: Stage) -> list[Stage]:
        """The stages that are read before `stage`, which is one of them."""
        return self.stages[: self.stages.index(stage)]

    def live(self) -> list[Stage]:
        """Stages with a native consumer."""
        return [stage for stage in (*self.stages, *self.left) if stage.member is not None]


class Telling:
    """Moves happen in the Consumer's turn; the application is told outside it."""

    def __init__(self) -> None:
        self.events: deque[RouteChange] = deque()

    def tell(
        self,
        way: Way,
        phase: Phase,
        old: Stage | None,
        new: Stage | None,
        *,
        count: int | None = None,
        partitions: Sequence[TopicPartition] = (),
        detail: str = "",
    ) -> None:
        """Note that `way` has reached `phase`; `partitions` are the old place's."""
        way.phase = phase
        for one in partitions:
            one.channel = way.channel
            one.place = None if old is None else old.place
        self.events.append(
            RouteChange(
                way.channel,
                "consume",
                phase,
                None if old is None else old.spot(),
                None if new is None else new.spot(),
                count,
                tuple(partitions),
                detail,
            )
        )


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
