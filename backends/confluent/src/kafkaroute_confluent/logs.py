"""librdkafka's log lines on their way into Python's logging, without secrets."""

from __future__ import annotations

import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Protocol

from kafkaroute.backend.settings_keys import ConfigValue, is_secret

__all__ = ["LogSink", "Redactor", "SilentSink"]

_MASK = "***"
#: Shorter secrets are masked only where they stand alone, or every other word would suffer.
_SHORT = 4
#: Seconds for which a repeated line is held back, and how many different lines are remembered.
_QUIET = 30.0
_REMEMBERED = 64

_log = logging.getLogger("kafkaroute.confluent")
# Without a handler anywhere logging's last resort would write to stderr, as librdkafka does.
_log.addHandler(logging.NullHandler())


class _Logger(Protocol):
    def log(self, level: int, msg: str, *args: Any) -> object: ...


class Redactor:
    """Replaces the secrets of one client's configuration in texts."""

    def __init__(self, config: Mapping[str, ConfigValue]) -> None:
        self._secrets = {v for k, v in config.items() if is_secret(k) and isinstance(v, str) and v}
        self._compile()

    def add(self, secrets: Iterable[str]) -> None:
        self._secrets |= {secret for secret in secrets if secret}
        self._compile()

    def _compile(self) -> None:
        longest_first = sorted(self._secrets, key=len, reverse=True)
        patterns = [
            re.escape(secret) if len(secret) >= _SHORT else rf"(?<!\w){re.escape(secret)}(?!\w)"
            for secret in longest_first
        ]
        self._pattern = re.compile("|".join(patterns)) if patterns else None

    def __call__(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(_MASK, text)

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._secrets)} secrets>"


class LogSink:
    """What confluent-kafka is given as ``logger``: it calls :meth:`log` from poll() or flush().

    Args:
        redact: masks the client's secrets.
        logger: the application's own, which gets every line. Without one, lines go to
            ``kafkaroute.confluent``, and a warning or error that repeats (librdkafka writes
            20 a second while a broker is down) is written once in 30 seconds.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        redact: Redactor,
        logger: _Logger | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redact = redact
        self._logger = _log if logger is None else logger
        self._repeats = None if logger is not None else _Repeats(clock)

    def log(self, level: int, msg: str, *args: Any) -> None:
        shown = [self._redact(arg) if isinstance(arg, str) else arg for arg in args]
        if self._repeats is not None and level >= logging.WARNING:
            held_back = self._repeats.seen((msg, *shown))
            if held_back is None:
                return
            if held_back:
                msg, shown = f"{msg} (%d more like it)", [*shown, held_back]
        self._logger.log(level, msg, *shown)


class _Repeats:
    """Remembers the last few lines that were written."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lines: OrderedDict[Hashable, list[float]] = OrderedDict()  # [written at, held back]

    def seen(self, line: Hashable) -> int | None:
        """How many of `line` were held back since it was last written; None: hold this one too."""
        now = self._clock()
        entry = self._lines.get(line)
        if entry is not None and now - entry[0] < _QUIET:
            entry[1] += 1
            return None
        self._lines[line] = [now, 0]
        self._lines.move_to_end(line)
        if len(self._lines) > _REMEMBERED:
            self._lines.popitem(last=False)
        return 0 if entry is None else int(entry[1])


class SilentSink:
    """For clients that are constructed only to see whether they can be."""

    def log(self, level: int, msg: str, *args: Any) -> None:
        """Drop the line."""
