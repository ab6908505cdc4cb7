"""Who asks: the seam for ways of proving it, and HTTP basic authentication."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from binascii import Error as Base64Error
from typing import Protocol

from .http import Header, Identity, Request
from .store import State

__all__ = ["BasicAuthentication", "RequestAuthenticator"]


class RequestAuthenticator(Protocol):
    """Says who asks. Asked once a request, and again when the rules change under a long poll."""

    async def identify(self, request: Request, state: State) -> Identity | None:
        """Who asks, or None where that is not proven."""

    def challenges(self) -> tuple[Header, ...]:
        """The ``WWW-Authenticate`` headers of a 401."""


class BasicAuthentication:
    """User and password of a caller in the rules (RFC 7617).

    Args:
        max_checks: password hashes computed at the same time (each takes 16 MiB and 40 ms).
    """

    def __init__(self, max_checks: int = 2) -> None:
        self._checks = asyncio.Semaphore(max_checks)

    async def identify(self, request: Request, state: State) -> Identity | None:
        if state.rules.open_to_all:
            return Identity()
        scheme, _, encoded = request.headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"basic":
            return None
        try:
            user, colon, password = (
                b64decode(encoded.strip(), validate=True).decode().partition(":")
            )
        except (Base64Error, UnicodeDecodeError):
            return None
        if not colon or not await self._known(state, user, password):
            return None
        return Identity(user, admin=state.rules.callers[user].is_admin)

    async def _known(self, state: State, user: str, password: str) -> bool:
        authenticator = state.authenticator
        if authenticator.is_cheap(user, password):
            return authenticator.check(user, password)
        async with self._checks:
            return await asyncio.to_thread(authenticator.check, user, password)

    def challenges(self) -> tuple[Header, ...]:
        return ((b"www-authenticate", b'Basic realm="kafkaroute", charset="UTF-8"'),)
