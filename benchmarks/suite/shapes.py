"""The ways in which applications call produce(), the same for both sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["KEYS", "SHAPES", "VALUE", "Shape", "keyed"]

VALUE = b"x" * 100
KEYS = [b"key-%d" % number for number in range(16)]
_HEADERS = [("trace", b"abc")]

#: (produce, topic or channel, how many, the counter of reports).
Loop = Callable[[Callable[..., Any], str, int, Callable[..., None]], None]


def keyed(produce: Callable[..., Any], where: str, count: int, _hit: Callable[..., None]) -> None:
    keys, value = KEYS, VALUE
    for number in range(count):
        produce(where, value, key=keys[number & 15])


def _same(produce: Callable[..., Any], where: str, count: int, hit: Callable[..., None]) -> None:
    keys, value = KEYS, VALUE
    for number in range(count):
        produce(where, value, key=keys[number & 15], on_delivery=hit)


def _fresh(produce: Callable[..., Any], where: str, count: int, hit: Callable[..., None]) -> None:
    keys, value = KEYS, VALUE
    for number in range(count):
        produce(where, value, key=keys[number & 15], on_delivery=lambda e, m: hit(e, m))


def _headers(
    produce: Callable[..., Any], where: str, count: int, _hit: Callable[..., None]
) -> None:
    keys, value, headers = KEYS, VALUE, _HEADERS
    for number in range(count):
        produce(where, value, key=keys[number & 15], headers=headers)


def _positional(
    produce: Callable[..., Any], where: str, count: int, _hit: Callable[..., None]
) -> None:
    keys, value = KEYS, VALUE
    for number in range(count):
        produce(where, value, keys[number & 15])


def _handle(
    produce: Callable[..., Any], _where: str, count: int, _hit: Callable[..., None]
) -> None:
    keys, value = KEYS, VALUE
    for number in range(count):
        produce(value, keys[number & 15])


@dataclass(frozen=True)
class Shape:
    """One way of calling.

    Attributes:
        goal: of the ratio of ns a call.
        reports: each message is reported to the callback.
        through_handle: ours goes through ``producer.channel(name)``.
    """

    name: str
    bare: Loop
    ours: Loop
    goal: float | None
    reports: bool = False
    through_handle: bool = False


SHAPES = (
    Shape("value, key=", keyed, keyed, 1.06),
    Shape("value, key=, the same on_delivery=", _same, _same, 1.00, reports=True),
    Shape("value, key=, a fresh on_delivery=", _fresh, _fresh, 1.10, reports=True),
    Shape("value, key=, headers=", _headers, _headers, 1.10),
    Shape("handle(value, key)", _positional, _handle, 1.10, through_handle=True),
    Shape("handle(value, key) against key=", keyed, _handle, None, through_handle=True),
)
