"""The audit log: one JSON object a line for every answer. No secrets."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as _text
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from ..regular_files import NONBLOCK
from ..rules.answer import Told
from .http import Request, Response
from .memory import ABOUT_BYTES, Table

__all__ = ["AuditFile", "AuditLog"]

_log = logging.getLogger("kafkaroute.server")

#: What strangers choose is cut.
_MAX_TEXT = 500
_MAX_CHANNELS = 100
#: Longer queries are not looked into.
_MAX_QUERY = 4096
_MAX_ABOUT = 4096
_CLIENT_ID = b"client_id="
_CHANNEL = re.compile(r"channel(\[\d{1,6}\])?")
#: Seconds between two looks whether the file was moved away, and two complaints.
_LOOK_EVERY = 1.0
_COMPLAIN_EVERY = 60.0


#: Made once: json.dumps() makes an encoder for each call. ASCII: what strangers choose must not
#: steer a terminal.
_encoded = json.JSONEncoder(separators=(",", ":")).encode


def _about(query: bytes, told: tuple[Told, ...]) -> str:
    """What a question and its answer say, as the inside of a JSON object."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    named = {name: value[:_MAX_TEXT] for name, value in pairs}
    entry: dict[str, Any] = {}
    if told:
        entry["channels"] = [
            {"channel": one.channel[:_MAX_TEXT], "generation": one.generation}
            for one in told[:_MAX_CHANNELS]
        ]
    else:
        asked = [value[:_MAX_TEXT] for name, value in pairs if _CHANNEL.fullmatch(name)]
        if asked:
            entry["channels"] = [{"channel": channel} for channel in asked[:_MAX_CHANNELS]]
    for key, name in (("profile", "config_profile"), ("intent", "intent")):
        if text := named.get(name):
            entry[key] = text
    return f",{_encoded(entry)[1:-1]}" if entry else ""


def _client_id(query: bytes) -> tuple[bytes, str]:
    """The query without the client's name for itself, and that name."""
    if _CLIENT_ID not in query:
        return query, ""
    parts = query.split(b"&")
    names = [part[len(_CLIENT_ID) :] for part in parts if part.startswith(_CLIENT_ID)]
    rest = b"&".join(part for part in parts if not part.startswith(_CLIENT_ID))
    return rest, unquote_plus(names[-1].decode("latin-1"))[:_MAX_TEXT] if names else ""


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
        self._second = (-1, "")
        self._about: Table[tuple[bytes, tuple[Told, ...]], str] = Table()

    def __call__(self, request: Request, response: Response) -> None:
        client = request.scope.get("client")
        identity = request.identity
        caller = identity.name if identity is not None else None
        query = request.query
        rest, client_id = _client_id(query) if len(query) <= _MAX_QUERY else (b"", "")
        line = (
            f'{{"at":"{self._at()}","status":{response.status}'
            f',"method":{_text(request.method[:_MAX_TEXT])}'
            f',"path":{_text(request.path[:_MAX_TEXT])}'
            f',"from":{"null" if not client else _text(client[0])}'
            f',"caller":{"null" if caller is None else _text(caller)}{self._said(rest, response.told[:_MAX_CHANNELS])}'
        )
        if client_id:
            line += f',"client_id":{_text(client_id)}'
        if request.notes:
            line += f",{_encoded(request.notes)[1:-1]}"
        forwarded = request.headers.get(b"x-forwarded-for")
        if forwarded is not None:
            line += f',"forwarded_for":{_text(forwarded.decode("latin-1")[-_MAX_TEXT:])}'
        self._write(f"{line}}}")

    def _said(self, query: bytes, told: tuple[Told, ...]) -> str:
        """Kept, for it is most of a line's work; so the client's name must not be in `query`."""
        key = (query, told)
        about = self._about.get(key)
        if about is None:
            about = _about(query, told)
            size = len(query) + len(about) + sum(len(one.channel) + 150 for one in told)
            self._about.put(key, about, size, most=_MAX_ABOUT, most_bytes=ABOUT_BYTES)
        return about

    def _at(self) -> str:
        now = self._clock()
        second = int(now)
        if second != self._second[0]:
            told = datetime.fromtimestamp(second, UTC).isoformat().removesuffix("+00:00")
            self._second = (second, told)
        return f"{self._second[1]}.{int((now - second) * 1000):03d}+00:00"


class AuditFile:
    """Appends lines to a file that only its owner may read; follows it when it is moved away.

    The lines of one turn of the event loop are one writing, at its end: before the loop waits for
    anything. A line that cannot be written is lost, and the service goes on: the log says so once a
    minute.

    Raises:
        OSError: the file cannot be opened at the start.
    """

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._lines: list[str] = []
        self._lost = 0
        self._complained: float | None = None
        self._looked = clock()
        self._file = self._open()

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | NONBLOCK
        return os.open(self._path, flags, 0o600)

    def write(self, line: str) -> None:
        self._lines.append(line)
        if len(self._lines) > 1:
            return  # its writing is on the way
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what is kept back."""
        if not self._lines:
            return
        self._lines.append("")
        left = "\n".join(self._lines).encode()
        self._lines.clear()
        try:
            now = self._clock()
            if now - self._looked >= _LOOK_EVERY:
                self._looked = now
                self._follow()
            while left:
                # One call as a rule: lines of several processes do not mix.
                left = left[os.write(self._file, left) :]
        except OSError as error:
            self._lost += left.count(b"\n")
            if self._complained is None or self._clock() - self._complained >= _COMPLAIN_EVERY:
                self._complained = self._clock()
                _log.error("the audit log lost %d lines: %s", self._lost, error.strerror)
                self._lost = 0

    def _follow(self) -> None:
        """Open the file anew where a log rotation took it away."""
        try:
            now, own = Path(self._path).stat(), os.fstat(self._file)
            if (now.st_dev, now.st_ino) == (own.st_dev, own.st_ino):
                return
        except FileNotFoundError:
            pass
        fresh = self._open()
        os.close(self._file)
        self._file = fresh

    def close(self) -> None:
        self.flush()
        os.close(self._file)
