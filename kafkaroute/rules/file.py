"""A rules file that is read again when it changes."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from ..errors import ConfigurationError
from .loader import load_rules
from .model import Rules
from .passwords import Authenticator

__all__ = ["RulesFile", "file_stamp"]

_log = logging.getLogger("kafkaroute.catalog.rules")


def file_stamp(path: Path) -> tuple[int, ...]:
    """What differs after an edit, also one that replaces the file by a rename."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_size, found.st_ino)


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
        self.current: tuple[Rules, Authenticator] = self._load()

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
                self.current = self._load()
            except ConfigurationError as error:
                _log.error("%s; the last sound rules stay in force", error)
                return False
        _log.info("the rules in %s changed and are in force", self.path)
        return True

    def _look(self) -> tuple[int, ...]:
        return file_stamp(self.path)

    def _load(self) -> tuple[Rules, Authenticator]:
        rules = load_rules(self.path)
        return rules, Authenticator(rules.callers)
