"""What went wrong with a question over HTTP, as an exception that tells no secret."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from urllib3.exceptions import ReadTimeoutError

from ...channel import Channel
from ...errors import (
    CatalogAnswerInvalid,
    CatalogError,
    CatalogUnauthorized,
    CatalogUnavailable,
    ChannelNotFound,
)

__all__ = ["WORTH_RETRYING", "Again", "failed", "no_route", "refused", "retry_after"]

#: Statuses after which another try may do.
WORTH_RETRYING = frozenset({408, 429, 500, 502, 503, 504})

#: How the existing service's messages begin, and what they mean.
_KNOWN_MESSAGES = {
    "No matching routing rule found": "no rule matches the channel",
    "Configuration profile not found": "it knows no configuration profile of that name",
    "Credential not found": "it has no Kafka credentials for the caller",
    "config_profile and channel": "it wants a config_profile and a channel",
    "Invalid channel URL": "it does not take the channel for an address",
    "All channels must have": "it wants channels of one scheme and host",
    "no Route matched": "nothing answers at this path; is service_gateway_uri right?",
    "Not found": "nothing answers at this path; is service_gateway_uri right?",
}


class Again(Exception):
    """This try failed in a way that another one may not; `error` if it does."""

    def __init__(self, error: CatalogUnavailable) -> None:
        self.error = error


def no_route(where: str, channel: Channel, what: str) -> CatalogAnswerInvalid:
    """For an answer of the catalog at `where` that is no route."""
    return CatalogAnswerInvalid(f"the answer of catalog {where} for {channel} is no route: {what}")


def refused(
    where: str,
    channel: Channel,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    anonymous: bool,
) -> CatalogError | Again:
    """For an answer with another status than 200."""
    reason = _known_reason(body)
    told = f"{status}: {reason}" if reason else str(status)
    if status in (401, 403):
        hint = "; no basic_auth is configured" if anonymous else ""
        return CatalogUnauthorized(f"catalog {where} refused the caller ({told}{hint})")
    if status == 404:
        return ChannelNotFound(f"catalog {where} knows no place for channel {channel} ({told})")
    if status in WORTH_RETRYING or status >= 500 or status == 407:
        error = CatalogUnavailable(f"catalog {where} failed ({told})").retry_in(
            retry_after(headers)
        )
        return Again(error) if status in WORTH_RETRYING else error
    return CatalogAnswerInvalid(f"catalog {where} did not take the question for {channel} ({told})")


def failed(who: str, error: Exception) -> CatalogUnavailable | Again:
    """For no answer at all of `who`, such as ``catalog https://…``."""
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            reason = getattr(cause, "verify_message", "") or cause.reason or "handshake failed"
            # A certificate does not become valid within seconds: no further try.
            return CatalogUnavailable(f"TLS to {who} failed: {reason}")
    late = (requests.Timeout, ReadTimeoutError, TimeoutError)
    if any(isinstance(cause, late) for cause in causes):
        return CatalogUnavailable(f"{who} did not answer in time")
    system = next((c for c in causes if isinstance(c, OSError) and c.strerror), None)
    what = system.strerror if system else type(causes[-1]).__name__
    return Again(CatalogUnavailable(f"{who} cannot be reached: {what}"))


def _causes(error: BaseException) -> list[BaseException]:
    """`error` and what it wraps: requests and urllib3 nest their causes in arguments, too."""
    found: list[BaseException] = []
    todo: list[Any] = [error]
    while todo and len(found) < 20:
        one = todo.pop(0)
        if isinstance(one, BaseException) and not any(one is seen for seen in found):
            found.append(one)
            todo += [getattr(one, "reason", None), one.__cause__, one.__context__, *one.args]
    return found


def _known_reason(body: bytes) -> str | None:
    """What a known error message means; an unknown one may hold anything, and is not told."""
    try:
        message = json.loads(body.decode("utf-8"))["message"]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None
    if not isinstance(message, str):
        return None
    return next(
        (told for start, told in _KNOWN_MESSAGES.items() if message.startswith(start)), None
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """``Retry-After`` in seconds from now: it is a number or a date (RFC 9110, 10.2.3)."""
    header = headers.get("Retry-After")
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit() and len(text) <= 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
