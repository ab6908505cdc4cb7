"""What every group of figures is given."""

from __future__ import annotations

from dataclasses import dataclass

from .figure import Result
from .servers import Servers

__all__ = ["GROUPS", "Setting"]

#: In the order in which they run; module by module.
GROUPS = ("produce", "threads", "kafka_python", "consume", "peers", "cold", "flat")


@dataclass(frozen=True)
class Setting:
    """See the module's text.

    Attributes:
        scale: 1 for a whole run (about five minutes in all); less for a quick look.
        result: where figures, and what could not be measured, go.
    """

    servers: Servers
    result: Result
    scale: float = 1.0

    def rounds(self, number: int) -> int:
        return max(3, round(number * self.scale))

    def count(self, number: int) -> int:
        return max(500, round(number * self.scale))
