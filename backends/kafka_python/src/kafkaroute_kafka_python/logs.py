"""kafka-python logs its requests; those that carry credentials must not reach a handler."""

from __future__ import annotations

import logging
from threading import Lock

__all__ = ["protect_logs"]

_PLACEHOLDER = "***"
_SECRET_REQUESTS = frozenset({"SaslAuthenticateRequest", "SaslBytesRequest"})
_SECRET_RESPONSES = frozenset({"SaslAuthenticateResponse", "SaslBytesResponse"})


class _Scrubber(logging.Filter):
    """Blanks SASL payloads by type, and every known user name and password by value."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: frozenset[str] = frozenset()

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args
        if isinstance(arguments, tuple) and any(
            type(value).__name__ in _SECRET_REQUESTS | _SECRET_RESPONSES for value in arguments
        ):
            record.args = tuple(
                f"{type(value).__name__}({_PLACEHOLDER})"
                if type(value).__name__ in _SECRET_REQUESTS | _SECRET_RESPONSES
                else value
                for value in arguments
            )
        if self.secrets:
            text = record.getMessage()
            if any(secret in text for secret in self.secrets):
                for secret in sorted(self.secrets, key=len, reverse=True):
                    text = text.replace(secret, _PLACEHOLDER)
                record.msg, record.args = text, ()
        return True


_scrubber = _Scrubber()
_lock = Lock()


def protect_logs(*secrets: str | None) -> None:
    """Blank `secrets` in everything that kafka-python logs from now on.

    A filter acts on the logger it is attached to and not on that logger's children, so it goes
    onto every logger of the library there is by now.
    """
    with _lock:
        _scrubber.secrets |= {secret for secret in secrets if secret}
        names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "kafka"]
        for name in names:
            logging.getLogger(name).addFilter(_scrubber)
