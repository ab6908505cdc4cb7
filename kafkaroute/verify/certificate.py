"""The move certificate: what a run found, against what it may find."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

__all__ = ["Bounds", "Certificate", "Mark"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that a run may show; None is no bound. Pauses in seconds."""

    lost: int | None = 0
    unreported: int | None = 0
    reported_twice: int | None = 0
    failed: int | None = 0
    reordered: int | None = 0
    reordered_late: int | None = 0
    duplicated: int | None = None
    unexplained: int | None = 0
    late: int | None = None
    producer_pause: float | None = None
    consumer_pause: float | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened: a phase of a move in a process, or what the run itself did.

    Attributes:
        at: seconds since the load began.
        lane: ``producer``, ``consumer`` or ``world``.
        what: the phase, or a few words.
        who: the process.
        text: the whole event.
    """

    at: float
    lane: str
    what: str
    who: str = ""
    text: str = ""


@dataclass(slots=True)
class Certificate:
    """What became of a run's messages.

    Attributes:
        rate: messages a second that were asked for, all producers together.
        sent: messages accepted by produce().
        failed: messages reported as failed.
        reported_twice: reports beyond the first of a message.
        lost: reported delivered, never read; the sum over the groups.
        written_twice, read_again: the two kinds of duplicates, over all groups.
        unexplained: duplicates that neither a rescue nor a lost or moved member explains.
        reordered: first readings after a higher number of the same producer and key.
        reordered_late: the same, for messages from a place that was left already.
        late: messages read from a place that was left already.
        rescued: messages that moves sent again.
        producer_pause, consumer_pause: (seconds, when, who).
        slowest: longest time from produce() to reading, seconds.
        groups: the counts of each group.
        produced, consumed: messages per 100 ms since the load began; consumed by group.
        notes: what else was noticed, for people.
    """

    title: str
    backend: str
    rate: float
    seconds: float = 0.0
    sent: int = 0
    delivered: int = 0
    failed: int = 0
    unreported: int = 0
    reported_twice: int = 0
    lost: int = 0
    written_twice: int = 0
    read_again: int = 0
    unexplained: int = 0
    reordered: int = 0
    reordered_late: int = 0
    late: int = 0
    rescued: int = 0
    producer_pause: tuple[float, float, str] = (0.0, 0.0, "")
    consumer_pause: tuple[float, float, str] = (0.0, 0.0, "")
    slowest: float = 0.0
    groups: list[dict[str, Any]] = field(default_factory=list)
    produced: dict[int, int] = field(default_factory=dict)
    consumed: list[dict[int, int]] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def conclude(self, *, rescued: int, unexplained: int, slowest: float) -> None:
        """What members and producers told of the counts."""
        self.rescued, self.slowest = rescued, slowest
        self.unexplained += unexplained

    @property
    def duplicated(self) -> int:
        return self.written_twice + self.read_again

    def breaches(self, bounds: Bounds) -> list[str]:
        """Each bound that does not hold, as a sentence."""
        found = []
        for bound in fields(bounds):
            most = getattr(bounds, bound.name)
            if most is None:
                continue
            value = getattr(self, bound.name)
            if isinstance(value, tuple):
                value = value[0]
            if value > most:
                shown = f"{value:.2f} s" if isinstance(most, float) else value
                found.append(f"{bound.name.replace('_', ' ')}: {shown}, at most {most}")
        if not self.sent:
            found.append("nothing was sent")
        return found

    def lines(self) -> list[str]:
        """The certificate for people."""
        rows = [
            ("sent", f"{self.sent:,} at {self.sent / self.seconds if self.seconds else 0:,.0f}/s"),
            ("delivered", f"{self.delivered:,}"),
            ("failed", f"{self.failed:,}"),
            ("lost", f"{self.lost:,}"),
            ("unreported", f"{self.unreported:,}"),
            ("reported twice", f"{self.reported_twice:,}"),
            ("duplicated", f"{self.duplicated:,}{self._explanation()}"),
            ("reordered per key", f"{self.reordered:,}{self._of_late()}"),
            ("late", f"{self.late:,}"),
            ("longest producer pause", _pause(self.producer_pause)),
            ("longest consumer pause", _pause(self.consumer_pause)),
            ("slowest message", f"{self.slowest:.2f} s"),
        ]
        width = max(len(name) for name, _ in rows)
        return [f"{name:<{width}}  {value}" for name, value in rows] + self.notes

    def _of_late(self) -> str:
        return f" (and {self.reordered_late:,} late ones)" if self.reordered_late else ""

    def _explanation(self) -> str:
        parts = []
        if self.written_twice:
            parts.append(f"{self.written_twice:,} written twice, {self.rescued:,} rescued")
        if self.read_again:
            parts.append(f"{self.read_again:,} read again")
        if self.unexplained:
            parts.append(f"{self.unexplained:,} UNEXPLAINED")
        return f" ({'; '.join(parts)})" if parts else ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"duplicated": self.duplicated}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Certificate:
        found = {key: value for key, value in found.items() if key != "duplicated"}
        found["marks"] = [Mark(**mark) for mark in found["marks"]]
        found["produced"] = _whole(found["produced"])
        found["consumed"] = [_whole(group) for group in found["consumed"]]
        for name in ("producer_pause", "consumer_pause"):
            found[name] = tuple(found[name])
        return cls(**found)


def _pause(pause: tuple[float, float, str]) -> str:
    seconds, at, who = pause
    return f"{seconds:.2f} s from {at:.1f} s on ({who})" if who else f"{seconds:.2f} s"


def _whole(bins: dict[Any, int]) -> dict[int, int]:
    return {int(bin_): count for bin_, count in bins.items()}
