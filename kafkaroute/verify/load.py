"""How much is produced and consumed, by how many, for how long."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigurationError

__all__ = ["Load"]


@dataclass(frozen=True, slots=True)
class Load:
    """The load of one run.

    Attributes:
        producers: processes that produce; each has a sequence of numbers of its own.
        groups: consumer groups; each must read everything.
        members: processes in each group.
        rate: messages a second, all producers together. None: the highest rate, which is 60 % of
            the steady rate that the slowest group keeps up with, so that a group has room to catch
            up after a hold. It is looked for first, from what `calibration` seconds of bursts show.
        seconds: how long the load lasts.
        keys: how many keys; message n of a producer has key n modulo `keys`, and key k goes to
            channel k modulo the number of channels.
        size: bytes of a value, at least 48.
        commits: how each group commits, the last one standing for the rest: ``auto``; ``store``
            (auto-commit of what was stored after it was logged); ``never``; or a number: commit()
            after so many messages.
        start: where new groups start: ``latest`` (the topic's history is not read) or
            ``earliest``.
        transaction: seconds that each transaction lasts; 0 for none.
        calibration: seconds of bursts, for the highest rate.
        lead: messages that producers may be ahead of the slowest group while calibrating.
        quiet: seconds without a message after which everything is taken for read at the end,
            where the numbers agree.
        settle: the same, where they do not.
    """

    producers: int = 8
    groups: int = 2
    members: int = 2
    rate: float | None = 1000.0
    seconds: float = 30.0
    keys: int = 100
    size: int = 100
    commits: tuple[str, ...] = ("auto",)
    start: str = "latest"
    transaction: float = 0.0
    calibration: float = 4.0
    lead: int = 20_000
    quiet: float = 1.0
    settle: float = 15.0

    def __post_init__(self) -> None:
        for name in ("producers", "groups", "members", "keys"):
            if not 0 < getattr(self, name) <= 1000:
                raise ConfigurationError(f"{name} must be 1 to 1000")
        if self.rate is not None and not self.rate > 0:
            raise ConfigurationError("rate must be above 0 messages a second")
        if not self.seconds > 0:
            raise ConfigurationError("seconds must be above 0")
        if self.size < 48:
            raise ConfigurationError("size must be at least 48 bytes")
        for commit in self.commits:
            if commit not in {"auto", "store", "never"} and not commit.isdigit():
                raise ConfigurationError(f"commits: auto, store, never or a number, not {commit!r}")
        if self.start not in {"latest", "earliest"}:
            raise ConfigurationError("start must be latest or earliest")

    def commit_of(self, group: int) -> str:
        return self.commits[min(group, len(self.commits) - 1)]
