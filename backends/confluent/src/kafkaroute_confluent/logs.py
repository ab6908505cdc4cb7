"""librdkafka's log lines on their way into Python's logging, without secrets."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from kafkaroute.backend.settings_keys import ConfigValue, is_secret

__all__ = ["LogSink", "Redactor", "SilentSink"]

_MASK = "***"
#: Shorter secrets are masked only where they stand alone, or every other word would suffer.
_SHORT = 4

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
        logger: the application's own, else ``kafkaroute.confluent``.
    """

    def __init__(self, redact: Redactor, logger: _Logger | None = None) -> None:
        self._redact = redact
        self._logger = _log if logger is None else logger

    def log(self, level: int, msg: str, *args: Any) -> None:
        self._logger.log(
            level, msg, *(self._redact(arg) if isinstance(arg, str) else arg for arg in args)
        )


class SilentSink:
    """For clients that are constructed only to see whether they can be."""

    def log(self, level: int, msg: str, *args: Any) -> None:
        """Drop the line."""
