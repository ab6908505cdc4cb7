"""The history of a rules file, kept in a file beside it: a JSON line for each change of routes."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from ...regular_files import NONBLOCK, read_regular
from ...rules.records import halved

__all__ = ["MAX_BYTES", "MAX_RECORDS", "Journal"]

_log = logging.getLogger("kafkaroute.server")
#: Beyond them the older half is forgotten. Reading 10,000 small records takes about a second.
MAX_RECORDS = 10_000
MAX_BYTES = 64 * 1024 * 1024


class Journal:
    """The records at `path`. Not thread-safe.

    Attributes:
        problem: why the last record could not be written; None where it was.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: str | None = None

    def read(self) -> list[str]:
        """The records, oldest first. A last line that was not written to its end is left out."""
        try:
            *lines, _torn = _text(self.path).split("\n")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            self._failed(error)
            return []
        return lines

    def begin(self, record: str) -> None:
        """Start anew with `record`."""
        try:
            self._replace([record])
        except OSError as error:
            self._failed(error)
        else:
            self.problem = None

    def append(self, record: str, records: Sequence[str]) -> bool:
        """Add `record` to `records`, which are those there; True where the older ones were
        forgotten, so that they have to be read again."""
        try:
            size = self.path.stat().st_size if self.path.exists() else 0
            if len(records) + 1 > MAX_RECORDS or size + len(record) > MAX_BYTES:
                self._replace(_newer_half([*records, record]))
                return True
            self._write(record)
        except OSError as error:
            self._failed(error)
        else:
            self.problem = None
        return False

    def _write(self, record: str) -> None:
        # Connections may hold what their author wrote: nobody else reads it.
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | NONBLOCK, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size and file.seek(size - 1) and file.read(1) != b"\n":
                # A line that was cut short by a crash.
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
            file.write(record.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _replace(self, records: Sequence[str]) -> None:
        temporary = self.path.with_name(f".{self.path.name}.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | NONBLOCK, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(f"{record}\n" for record in records)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)

    def _failed(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or type(error).__name__
        if self.problem is None:
            _log.error(
                "the history of routes in %s cannot be kept (%s): after a restart, generations "
                "begin anew and earlier places are forgotten",
                self.path,
                reason,
            )
        self.problem = f"the history of routes cannot be kept ({reason})"


def _text(path: Path) -> str:
    # The last record may have taken it a little beyond what makes it shorter.
    return read_regular(path, 2 * MAX_BYTES).decode()


def _newer_half(records: Sequence[str]) -> list[str]:
    version, base = halved(records)
    return [base, *(text for text in records if json.loads(text)["version"] > version)]
