"""What a client shows the catalog to say who it is: nothing, a password, or a token."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import SplitResult, unquote

from ...errors import ConfigurationError
from .exchange import HttpClient
from .oauth_token import ClientCredentials

if TYPE_CHECKING:
    from ...settings import Settings

__all__ = ["Authorization", "authorization"]


class Authorization(Protocol):
    """Thread-safe."""

    @property
    def kind(self) -> str:
        """``none``, ``basic`` or ``oauth``, for people."""

    @property
    def identity(self) -> Any:
        """Who asks, without the secret; JSON."""

    def header(self, deadline: float) -> str | None:
        """The ``Authorization`` header, had by `deadline` (time.monotonic()).

        Raises CatalogUnauthorized, CatalogUnavailable, http_errors.Again."""

    def outdated(self, header: str | None) -> bool:
        """The catalog refused `header` (401): whether another one may do better."""


class _Fixed:
    """A password, or nothing."""

    def __init__(self, login: tuple[str, str] | None) -> None:
        self.kind = "none" if login is None else "basic"
        self.identity = None if login is None else login[0]
        self._header = None if login is None else basic(*login)

    def header(self, deadline: float) -> str | None:  # nothing is waited for
        return self._header

    def outdated(self, header: str | None) -> bool:
        return False


def basic(user: str, password: str) -> str:
    """RFC 7617, in UTF-8."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def authorization(settings: Settings, uri: SplitResult, client: HttpClient) -> Authorization:
    """As `settings` and the catalog's `uri` have it; tokens are fetched by `client`.

    Raises:
        ConfigurationError: two ways to log in.
    """
    login = settings.basic_auth
    if login is None and uri.username is not None:
        login = (unquote(uri.username), unquote(uri.password or ""))
    if settings.oauth is None:
        return _Fixed(login)
    if login is not None:
        raise ConfigurationError("oauth and a user with a password are two ways to log in: use one")
    return ClientCredentials(settings.oauth, client)
