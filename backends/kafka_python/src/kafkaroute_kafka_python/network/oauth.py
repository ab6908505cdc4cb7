"""``oauth_cb`` of confluent-kafka as a token provider of kafka-python."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Any

from ..library import AbstractTokenProvider

__all__ = ["CallbackTokenProvider"]


class CallbackTokenProvider(AbstractTokenProvider):  # type: ignore[misc]  # untyped library
    """Keeps a token for four fifths of its life, as librdkafka does.

    kafka-python asks at every (re-)authentication, on its I/O thread; the application's callback
    ``oauth_cb(config) -> (token, expires_at[, principal[, extensions]])`` must not block.
    """

    def __init__(self, callback: Callable[[str], Any], config: str) -> None:
        super().__init__()
        self._callback = callback
        self._config = config
        self._lock = Lock()
        self._token = ""
        self._extensions: dict[str, str] = {}
        self._refresh_at = 0.0

    def token(self) -> str:
        with self._lock:
            now = time.time()
            if now >= self._refresh_at:
                answer = self._callback(self._config)
                token, expires_at = answer[0], float(answer[1])
                self._token = str(token)
                self._extensions = dict(answer[3]) if len(answer) > 3 else {}
                self._refresh_at = now + max(0.0, expires_at - now) * 0.8
            return self._token

    def extensions(self) -> dict[str, str]:
        return self._extensions
