"""The setting ``oauth``: how a client gets tokens for the catalog (RFC 6749, 4.4)."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from .errors import ConfigurationError

__all__ = ["OAuth"]

#: RFC 8414's names for how a client proves who it is.
_METHODS = ("client_secret_basic", "client_secret_post")


@dataclass(frozen=True, slots=True)
class OAuth:
    """OAuth 2 client credentials.

    Attributes:
        token_url: the token endpoint, ``https://…`` (``http://…`` for tests).
        client_id, client_secret: who asks for a token.
        scope: scopes asked for, separated by blanks.
        audience: who the token is for, where the issuer wants to be told (``audience=…``).
        auth_method: ``client_secret_basic`` (a header, which every issuer must take) or
            ``client_secret_post`` (in the form).
    """

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None
    audience: str | None = None
    auth_method: str = _METHODS[0]

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> OAuth:
        """Raises ConfigurationError, with no value in its text: it may be a secret."""
        names = [f.name for f in fields(cls)]
        for key, value in table.items():
            if key not in names:
                near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
                raise ConfigurationError(f"unknown key {key!r} in oauth; {hint}")
            if not isinstance(value, str) or not value or not value.isprintable():
                raise ConfigurationError(f"oauth: {key} must be a non-empty printable text")
        for name in ("token_url", "client_id", "client_secret"):
            if name not in table:
                raise ConfigurationError(f"oauth: {name} is missing")
        made = cls(**table)
        if made.auth_method not in _METHODS:
            raise ConfigurationError(f"oauth: auth_method must be {' or '.join(_METHODS)}")
        parts = urlsplit(made.token_url)
        if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
            raise ConfigurationError("oauth: token_url is no http or https address with a host")
        if parts.username is not None or parts.fragment:
            raise ConfigurationError(
                "oauth: token_url must hold no user and no fragment; "
                "client_id and client_secret have their own keys"
            )
        return made
