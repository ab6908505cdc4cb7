"""Arguments of calls, checked by name before any client sees them."""

from __future__ import annotations

from math import isnan
from operator import index
from typing import Any

__all__ = ["patience", "seconds", "whole"]

#: Seconds.
_LONGEST = 2_000_000.0


def whole(name: str, value: Any, low: int, high: int) -> int:
    """`value` as an int from `low` to `high`.

    Raises:
        TypeError, ValueError: it is none; names the argument.
    """
    if value.__class__ is not int:
        try:
            value = index(value)
        except TypeError:
            raise TypeError(f"{name} must be an integer, not {type(value).__name__}") from None
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}, not {value}")
    return int(value)


def seconds(timeout: Any) -> float:
    """A timeout as backends take it: -1 for None and what is below 0, which wait without limit; more
    than a client can wait for is as long as it can (23 days: librdkafka counts milliseconds in 32
    bits).

    Raises:
        TypeError, ValueError: no number.
    """
    if timeout is None:
        return -1.0
    if isinstance(timeout, str | bytes) or not hasattr(timeout, "__float__"):
        kind = type(timeout).__name__
        raise TypeError(f"timeout must be a number of seconds or None, not {kind}")
    try:
        given = float(timeout)
    except OverflowError:
        return _LONGEST if timeout > 0 else -1.0
    if isnan(given):
        raise ValueError("timeout must be a number of seconds, not nan")
    return -1.0 if given < 0 else min(given, _LONGEST)


def patience(timeout: Any) -> float:
    """As :func:`seconds`, with infinity for no limit."""
    given = seconds(timeout)
    return float("inf") if given < 0 else given
