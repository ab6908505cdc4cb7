"""What a catalog must provide; entry-point group ``kafkaroute.catalogs``, named by URI scheme."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..channel import Channel
from ..route import Route

if TYPE_CHECKING:
    from ..settings import Settings

__all__ = ["Catalog", "Lookup"]


@dataclass(frozen=True, slots=True)
class Lookup:
    """One question to a catalog.

    Attributes:
        channel: the channel asked for.
        intent: ``produce`` or ``consume`` (or "" when only looking).
        etag: of the route already known; the catalog may answer "unchanged".
        timeout: total seconds this look-up may take, retries included.
    """

    channel: Channel
    intent: str = ""
    etag: str | None = None
    timeout: float = 5.0


class Catalog(ABC):
    """Answers look-ups. Thread-safe; keeps no routes (that is RouteCache's work)."""

    #: True when look-ups are answered in process, so that retrying makes no sense.
    local: ClassVar[bool] = False
    #: True when :meth:`wait` does.
    can_wait: ClassVar[bool] = False

    @abstractmethod
    def __init__(self, settings: Settings) -> None: ...

    @abstractmethod
    def lookup(self, question: Lookup) -> Route | None:
        """The channel's route, or None where `question.etag` is still current.

        Raises CatalogUnavailable, CatalogUnauthorized, CatalogAnswerInvalid, ChannelNotFound."""

    def wait(self, question: Lookup, seconds: float) -> bool:
        """Wait up to `seconds` for another answer than that of ``question.etag``; whether there is
        one. Asks once; ends at the latest ``question.timeout`` after `seconds`, and at close().

        Raises as :meth:`lookup`."""
        return False

    def scope(self) -> str:
        """Differs wherever two catalogs may answer differently; no secrets. Keys the snapshot."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__} {sorted(self.describe().items())}"
        )

    def close(self) -> None:  # most have nothing to free
        """Free connections. Safe to call twice."""

    def describe(self) -> Mapping[str, Any]:
        """What may be shown to people about this catalog: no secrets."""
        return {}
