"""The audit log: one JSON object a line for every answer. No secrets."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from .http import Request, Response

__all__ = ["AuditFile", "AuditLog"]

_log = logging.getLogger("kafkaroute.server")

#: What strangers choose is cut.
_MAX_TEXT = 500
_MAX_CHANNELS = 100
_CHANNEL = re.compile(r"channel(\[\d{1,6}\])?")
#: Seconds between two looks whether the file was moved away, and two complaints.
_LOOK_EVERY = 1.0
_COMPLAIN_EVERY = 60.0


#: Made once: json.dumps() makes an encoder for each call.
_encoded = json.JSONEncoder(separators=(",", ":")).encode


class _Asked(NamedTuple):
    channels: tuple[str, ...]
    profile: str
    intent: str
    client_id: str


@lru_cache(maxsize=4096)
def _asked(query: bytes) -> _Asked:
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    named = {name: value[:_MAX_TEXT] for name, value in pairs}
    channels = [value[:_MAX_TEXT] for name, value in pairs if _CHANNEL.fullmatch(name)]
    return _Asked(
        tuple(channels[:_MAX_CHANNELS]),
        named.get("config_profile", ""),
        named.get("intent", ""),
        named.get("client_id", ""),
    )


class AuditLog:
    """Observes answers and hands a line for each to `write`.

    ``at`` (UTC), ``status``, ``method``, ``path``, ``from`` (the peer's address), ``caller`` (null
    where nobody was proven), and where they are known ``channels`` with their ``generation``,
    ``profile``, ``intent``, ``client_id``, ``move`` (what a POST moved), and ``forwarded_for`` as a proxy wrote it (not verified).
    Of a request only these are written: passwords, tokens and other parameters are not.

    Args:
        write: takes a line without its end; must be quick and must not raise.
        clock: seconds since the epoch.
    """

    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float] = time.time
    ) -> None:
        self._write = write
        self._clock = clock

    def __call__(self, request: Request, response: Response) -> None:
        client = request.scope.get("client")
        entry: dict[str, Any] = {
            "at": datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds"),
            "status": response.status,
            "method": request.method[:_MAX_TEXT],
            "path": request.path[:_MAX_TEXT],
            "from": client[0] if client else None,
            "caller": request.identity.name if request.identity is not None else None,
        }
        asked = _asked(request.query) if len(request.query) <= 4096 else _asked(b"")
        if response.told:
            entry["channels"] = [
                {"channel": told.channel[:_MAX_TEXT], "generation": told.generation}
                for told in response.told[:_MAX_CHANNELS]
            ]
        elif asked.channels:
            entry["channels"] = [{"channel": channel} for channel in asked.channels]
        for name in ("profile", "intent", "client_id"):
            if text := getattr(asked, name):
                entry[name] = text
        entry.update(request.notes)
        forwarded = request.headers.get(b"x-forwarded-for")
        if forwarded is not None:
            entry["forwarded_for"] = forwarded.decode("latin-1")[-_MAX_TEXT:]
        # ASCII: what strangers choose must not steer a terminal.
        self._write(_encoded(entry))


class AuditFile:
    """Appends lines to a file that only its owner may read; follows it when it is moved away.

    A line that cannot be written is lost, and the service goes on: the log says so once a minute.

    Raises:
        OSError: the file cannot be opened at the start.
    """

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._lost = 0
        self._complained: float | None = None
        self._looked = clock()
        self._file = self._open()

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, line: str) -> None:
        try:
            now = self._clock()
            if now - self._looked >= _LOOK_EVERY:
                self._looked = now
                self._follow()
            # One call: lines of several processes do not mix.
            os.write(self._file, f"{line}\n".encode())
        except OSError as error:
            self._lost += 1
            if self._complained is None or self._clock() - self._complained >= _COMPLAIN_EVERY:
                self._complained = self._clock()
                _log.error("the audit log lost %d lines: %s", self._lost, error.strerror)
                self._lost = 0

    def _follow(self) -> None:
        """Open the file anew where a log rotation took it away."""
        try:
            now, own = os.stat(self._path), os.fstat(self._file)  # noqa: PTH116  # as fstat
            if (now.st_dev, now.st_ino) == (own.st_dev, own.st_ino):
                return
        except FileNotFoundError:
            pass
        fresh = self._open()
        os.close(self._file)
        self._file = fresh

    def close(self) -> None:
        os.close(self._file)
