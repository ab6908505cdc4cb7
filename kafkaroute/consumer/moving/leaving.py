"""When an old place counts as read to its end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum, auto
from typing import NamedTuple

from ...messages import TopicPartition
from .drainage.looks import Ends, Look
from .drainage.scout import Scout

__all__ = ["MISSES", "Leaving", "Outcome", "Standing"]


#: Seconds between two looks that are asked for.
_ASK_EVERY = 0.5
#: Seconds between two exchanges of notes.
_EXCHANGE = 0.5
#: Without a step for so many seconds, what is fetched may wait for the application.
_AWAY = 1.0
#: Looks in a row without an answer: a single one may fail on a machine that is too busy.
MISSES = 2


class Outcome(Enum):
    """Why the old place may be left."""

    #: The group has read and committed everything.
    DRAINED = auto()
    #: Read to the end, but not committed up to it.
    UNCOMMITTED = auto()
    #: It does not answer; nobody knows.
    UNREAD = auto()


class Standing(NamedTuple):
    """Where a member stands in one topic.

    Attributes:
        positions: partition → offset after the last message given to the application; -1001
            before any.
        silent: partitions that are paused, or kept back.
        begun: partition → offset where reading began; -1 where that was the end, whatever it was.
        settled: the group is not dealing out its partitions just now, as far as the member knows.
    """

    positions: Mapping[int, int]
    silent: Collection[int] = ()
    begun: Mapping[int, int] = {}
    settled: bool = True


class _Progress:
    """Since when something has not changed."""

    __slots__ = ("_first", "_second", "_since")

    def __init__(self, since: float) -> None:
        self._first: object = None
        self._second: object = None
        self._since = since

    def is_news(self, what: object, now: float) -> bool:
        if what == self._first:
            return False
        self._first, self._since = what, max(now, self._since)
        return True

    def is_news_too(self, what: object, now: float) -> bool:
        if what == self._second:
            return False
        self._second, self._since = what, max(now, self._since)
        return True

    def still(self, now: float) -> float:
        return now - self._since


class Leaving:
    """Judges one old place from what its scout sees and where this member stands.

    The group's committed offsets decide. Where they stand still although this member has read its
    partitions to the end, its own positions count, too; partitions of other members are waited
    for until a member that is gone would have been replaced.

    Args:
        since: time.monotonic(): only what is true after it counts.
        patience: seconds without progress (``drain_timeout``).
        takeover: seconds after which partitions of a dead member belong to another one
            (``session.timeout.ms``).
        rebalance: seconds that a rebalance may take (``max.poll.interval.ms``, which KIP-62 makes
            the rebalance timeout): until it is over, nobody reads.
        commits: the group is known to commit.
    """

    def __init__(
        self,
        scout: Scout,
        topic: str,
        since: float,
        patience: float,
        takeover: float,
        rebalance: float,
        *,
        commits: bool,
    ) -> None:
        self._scout = scout
        self._topic = topic
        self.since = since
        self._patience = patience
        self._takeover = takeover
        self._rebalance = rebalance
        self.commits = commits
        self._ends = Ends(since)
        self._cut: Mapping[int, int] | None = None
        #: Partition → end as the first look after the window found it.
        self._highs: dict[int, int] = {}
        self._look: Look | None = None
        self._ask_at = since
        #: Since when, and how often in a row, it has not answered.
        self._missing = since
        self._misses = 0
        self._own: dict[int, int] = {}
        self._reported: dict[int, int] | None = None
        self._mine = _Progress(since)
        self._others = _Progress(since)
        self._theirs = _Progress(since)
        self._said: dict[int, int] = {}
        #: As the first looks found it, before anything was reported.
        self._committed: dict[int, int | None] = {}
        #: When the last step was, and the first one after the application was away.
        self._stepped = self._back = 0.0
        self._exchange_at = since
        #: Partition → offset that a group which commits by itself may commit for the member.
        self.settled: dict[int, int] = {}
        self.outcome: Outcome | None = None
        self.partitions: tuple[TopicPartition, ...] = ()
        scout.watch(topic)

    def step(self, now: float, standing: Standing) -> Outcome | None:
        """Judge; `standing`: this member's."""
        if now - self._stepped > _AWAY:
            self._back = now
        self._stepped = now
        if self.outcome is not None or now < self.since:
            return self.outcome
        if now >= self._ask_at:
            # The new place waits: do not rest between looks as a scout does else.
            self._ask_at = now + _ASK_EVERY
            self._scout.ask()
        look = self._scout.latest(self._topic)
        if look is not None and look is not self._look:
            self._take(look)
        self._watch_progress(now, standing)
        if self._ends.complete or self._cut_is_read(now, standing) or self._all_say_so():
            uncommitted = self._uncommitted()
            self._decide(Outcome.UNCOMMITTED if uncommitted else Outcome.DRAINED, uncommitted)
        elif look is not None and look.at >= self.since:
            self._judge(look, now, standing)
        return self.outcome

    def _take(self, look: Look) -> None:
        """A look that is not known yet."""
        self._look = look
        self._ends.add(look)
        if self._reported is None and look.reached and not look.untouched:
            self.commits = True  # another member did
        if look.reached:
            self._misses = 0
        elif look.at >= self.since:
            if self._misses == 0:
                self._missing = look.at
            self._misses += 1
        for number, one in look.partitions.items():
            self._committed.setdefault(number, one.read)
            if one.error is None and look.at >= self.since:
                self._highs.setdefault(number, one.high)

    def _judge(self, look: Look, now: float, standing: Standing) -> None:
        """Whether to go on although the group is not known to have read everything."""
        if not look.reached:
            if self._misses >= MISSES and now - self._missing >= self._patience:
                self._decide(Outcome.UNREAD, self._ends.unread() or self._standing())
        elif self._is_own_business(look) and self._own_is_done():
            self._decide(Outcome.DRAINED, ())
        elif self._others.still(now) >= self._wait(standing) and self._own_is_done():
            self._decide(Outcome.UNCOMMITTED, self._ends.unread())

    def _wait(self, standing: Standing) -> float:
        """Seconds without progress of other members after which nobody is expected to make any."""
        return self._patience + self._takeover + (0.0 if standing.settled else self._rebalance)

    def waits_for_others(self, now: float) -> bool:
        """Whether this member is done, and it is time to exchange notes with the others."""
        if self._reported is None or not self.commits or not self._own_is_done() or self.outcome:
            return False
        if now < self._exchange_at:
            return False
        self._exchange_at = now + _EXCHANGE
        return True

    def finished(self) -> dict[int, int]:
        """Own partitions that are read → their ends."""
        ends = self._ends.ends
        return {number: ends[number] for number in self._own if number in ends}

    def numbers(self) -> list[int]:
        """The old topic's partitions."""
        return [] if self._look is None else list(self._look.partitions)

    def heard(self, said: Mapping[int, int]) -> None:
        """What the members say that they have read: partition → end."""
        self._said = dict(said)

    def _all_say_so(self) -> bool:
        look = self._look
        return (
            look is not None
            and look.reached
            and look.at >= self.since
            and self._reported is not None
            and all(
                number in self._ends.ends or self._said.get(number, -1) >= one.high
                for number, one in look.partitions.items()
            )
        )

    def cut_at(self, cut: Mapping[int, int], now: float) -> Mapping[int, int]:
        """The channel is on its way back to this place: what lies beyond `cut` belongs after the
        places in between, so that only what is before it is waited for. Returns the cut that
        counts: where the window was over before, the place had its end then already."""
        if self._cut is None:
            cut = {n: min(offset, self._highs.get(n, offset)) for n, offset in cut.items()}
            self._cut, self.since = cut, min(self.since, now)
            self._theirs = _Progress(now)
            self._scout.ask()
        return self._cut

    def _cut_is_read(self, now: float, standing: Standing) -> bool:
        """Others may have cut earlier, and stopped there for good: where they stand still they are
        not waited for. They read the rest when they come back."""
        look, cut = self._look, self._cut
        if look is None or cut is None or not look.reached:
            return False
        left = {
            number
            for number, one in look.partitions.items()
            if not (one.drained or number not in cut or (one.read or 0) >= cut[number])
        }
        theirs = {n: one.read for n, one in look.partitions.items() if n not in self._own}
        news = self._theirs.is_news(theirs, now)
        return not left or (
            not news
            and not left & set(self._own)
            and self._theirs.still(now) >= self._wait(standing)
        )

    def _decide(self, outcome: Outcome, partitions: object) -> None:
        self.outcome = outcome
        self.partitions = tuple(partitions)  # type: ignore[arg-type]  # any iterable of them

    def _watch_progress(self, now: float, standing: Standing) -> None:
        look, own = self._look, standing.positions
        if look is None:
            return
        self._own = dict(own)
        highs = {
            n: one.high
            for n, one in look.partitions.items()
            if own.get(n, 0) < 0 and n not in standing.silent
        }
        # What was reported changes what the scout tells of them.
        reads = {
            n: one.read for n, one in look.partitions.items() if n in own and self._reported is None
        }
        if self._mine.is_news((dict(own), highs), now) or (
            self._reported is None and self._mine.is_news_too(reads, now)
        ):
            self._reported = None
        self._others.is_news(
            {n: (one.read, one.high) for n, one in look.partitions.items() if n not in own}, now
        )
        # A look that began soon after the last message may have missed its commit.
        calm = self._mine.still(now)
        stuck = calm >= self._patience and now - look.at <= calm - self._patience / 2
        if self._reported is None and (stuck or (look.untouched and not self.commits)):
            # A partition that gave nothing all that time has nothing for us, as far as leaving
            # goes: what comes all the same is read late. A commit would be the group's last word.
            quiet = highs if stuck else {}
            if now - self._back >= self._patience:
                self.settled = self._empty(quiet, standing.begun)
            known = {n: offset for n, offset in own.items() if offset >= 0} | quiet
            self._scout.report(self._topic, known)
            self._scout.ask()
            self._reported = known

    def _empty(self, quiet: Mapping[int, int], begun: Mapping[int, int]) -> dict[int, int]:
        """Of partitions that gave nothing: those that were begun at their end."""
        empty = {}
        for number, high in quiet.items():
            start = begun.get(number)
            if start is not None and (
                start >= high if start >= 0 else self._committed.get(number) is None
            ):
                empty[number] = high
        return empty

    def _is_own_business(self, look: Look) -> bool:
        """The group does not commit, so that nothing is known of other members."""
        if self.commits:
            return False
        return all(
            one.read is None or number in self._own for number, one in look.partitions.items()
        )

    def _own_is_done(self) -> bool:
        return set(self._own) <= set(self._ends.ends) and (bool(self._own) or self.commits)

    def _uncommitted(self) -> list[TopicPartition]:
        if not self._reported or not self.commits:
            return []
        return [
            TopicPartition(self._topic, number, offset)
            for number, offset in sorted(self._own.items())
            if offset >= 0
        ]

    def _standing(self) -> list[TopicPartition]:
        return [TopicPartition(self._topic, n, offset) for n, offset in sorted(self._own.items())]
