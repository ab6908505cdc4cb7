"""A catalog in a file: rules in YAML, evaluated in process (``file:///etc/kafkaroute/rules.yaml``)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn
from urllib.parse import unquote, urlsplit

from ..channel import Channel
from ..errors import (
    CatalogAnswerInvalid,
    CatalogUnauthorized,
    CatalogUnavailable,
    ChannelNotFound,
    ConfigurationError,
)
from ..route import Route
from ..rules.secrets.stores import SecretUnavailable
from .answer import route_from_answer
from .contract import Catalog, Lookup
from .query import flattened

if TYPE_CHECKING:
    from ..rules.passwords import Authenticator
    from ..settings import Settings

__all__ = ["FileCatalog"]


class FileCatalog(Catalog):
    """Answers from a rules file by the engine that ``kafkaroute serve`` uses.

    Where the file names callers, `basic_auth` must be one of them, as over HTTP, so that an
    application can go from one catalog to the other by its URI alone.

    Raises:
        ConfigurationError: the URI names no file of this machine, the file is wrong (file, line
            and key path are named), or PyYAML or google-re2 is not installed.
    """

    local: ClassVar[bool] = True

    def __init__(self, settings: Settings) -> None:
        # Deferred: needs PyYAML and google-re2, which are extras.
        from ..rules.file import RulesFile

        self._path = _path(settings.service_gateway_uri)
        self._rules_file = RulesFile(self._path)
        self._caller = settings.basic_auth
        query: list[tuple[str, str]] = []
        if settings.config_profile is not None:
            query.append(("config_profile", settings.config_profile))
        self._before = tuple(query)
        self._after = tuple(flattened(settings.additional_params))
        self._client_id = settings.client_id

    def lookup(self, question: Lookup) -> Route | None:
        from ..rules.answer import answer

        self._rules_file.refresh()
        rules, authenticator = self._rules_file.current
        caller: str | None = None
        if not rules.open_to_all:
            caller = self._proven(authenticator)
        channel = question.channel
        query = (*self._before, ("channel", channel.uri), *self._after, *self._asker(question))
        status, body = answer(rules, caller, query)
        if status != 200:
            self._refuse(channel, status, str(body["message"]))
        etag = _digest(body)
        if etag == question.etag:
            return None
        return route_from_answer(
            channel, body, max_age=rules.max_age, stale_if_error=rules.stale_if_error, etag=etag
        )

    def _asker(self, question: Lookup) -> list[tuple[str, str]]:
        """As over HTTP: what rules may look at, unless the application sets it itself."""
        taken = {name for name, _ in self._after}
        own = (("intent", question.intent), ("client_id", self._client_id or ""))
        return [(name, value) for name, value in own if value and name not in taken]

    def _proven(self, authenticator: Authenticator) -> str:
        try:
            if self._caller is not None and authenticator.check(*self._caller):
                return self._caller[0]
        except SecretUnavailable:
            raise CatalogUnavailable(
                f"the catalog {self._path} cannot read the caller's password now"
            ) from None
        raise CatalogUnauthorized(
            f"the catalog {self._path} refused the caller: basic_auth is missing or wrong"
        )

    def describe(self) -> Mapping[str, Any]:
        return {"catalog": "file", "path": self._path}

    def scope(self) -> str:
        user = self._caller[0] if self._caller is not None else None
        asked = {"query": [self._before, self._after], "user": user, "client_id": self._client_id}
        return f"file {self._path} {_digest(asked)}"

    def _refuse(self, channel: Channel, status: int, message: str) -> NoReturn:
        if status == 404:
            raise ChannelNotFound(
                f"the catalog {self._path} has no route for channel {channel}: {message}"
            )
        if status == 503:
            raise CatalogUnavailable(
                f"the catalog {self._path} cannot answer for channel {channel} now: {message}"
            )
        raise CatalogAnswerInvalid(
            f"the catalog {self._path} refused the question for channel {channel}: {message}"
        )


def _path(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.netloc not in {"", "localhost"}:
        raise ConfigurationError(
            f"{uri!r} names the machine {parts.netloc!r}: a file on this one is "
            "file:///path/rules.yaml, or file:rules.yaml relative to the working directory"
        )
    path = unquote(parts.path)
    if not path:
        raise ConfigurationError(f"{uri!r} names no file: expected file:///path/rules.yaml")
    return path


def _digest(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
