"""A rules file that is read again when it changes."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from ..errors import ConfigurationError
from ..regular_files import read_regular
from .loader import load_rules, parse_rules
from .model import Rules
from .passwords import Authenticator

__all__ = ["RulesFile", "file_stamp", "read_edited"]

_log = logging.getLogger("kafkaroute.catalog.rules")
#: Bytes of a rules file that is read again. A document with 10,000 table entries has 320 KB.
_MAX_BYTES = 64 * 1024 * 1024


def file_stamp(path: Path) -> tuple[int, ...]:
    """What differs after an edit, also one that replaces the file by a rename."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def read_edited(path: Path) -> str:
    """The text of a rules file that is followed. What took its place may be a pipe, which would
    hold up whoever follows it for ever; the first reading is the operator's own and takes any file.

    Raises:
        ConfigurationError: it cannot be read, or is no regular file of bounded size.
    """
    try:
        text = read_regular(path, _MAX_BYTES).decode()
        return text.replace("\r\n", "\n").replace("\r", "\n")  # as read_document() has them
    except OSError as error:
        raise ConfigurationError(f"cannot read the rules file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"the rules file {path} is not UTF-8 text") from None


class RulesFile:
    """The rules at `path`, as of the last edit that was sound. Thread-safe.

    `current` and what belongs to it are swapped as one: a reader sees either the old rules or the
    new ones.

    Raises:
        ConfigurationError: the file is wrong at the very first reading.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._stamp = self._look()
        self.current: tuple[Rules, Authenticator] = _with_callers(load_rules(self.path))

    def refresh(self) -> bool:
        """Read the file again where it changed; True where new rules are in force.

        A broken edit is logged once, and the last sound rules stay.
        """
        if self._look() == self._stamp:
            return False
        with self._lock:
            stamp = self._look()
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            try:
                rules = parse_rules(read_edited(self.path), str(self.path))
                self.current = _with_callers(rules)
            except ConfigurationError as error:
                _log.error("%s; the last sound rules stay in force", error)
                return False
        _log.info("the rules in %s changed and are in force", self.path)
        return True

    def _look(self) -> tuple[int, ...]:
        return file_stamp(self.path)


def _with_callers(rules: Rules) -> tuple[Rules, Authenticator]:
    return rules, Authenticator(rules.callers)
