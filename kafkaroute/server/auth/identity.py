"""Who asks: the seam for ways of proving it."""

from __future__ import annotations

from typing import Protocol

from ..http import Header, Identity, Request
from ..stores.store import State

__all__ = ["RequestAuthenticator"]


class RequestAuthenticator(Protocol):
    """Says who asks. Asked once a request, and again when the rules change under a long poll."""

    async def identify(self, request: Request, state: State) -> Identity | None:
        """Who asks, or None where that is not proven."""

    def challenges(self) -> tuple[Header, ...]:
        """The ``WWW-Authenticate`` headers of a 401."""
