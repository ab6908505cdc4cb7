"""Keeps subclasses of the suite from dropping or overriding a test without a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["check_subclass", "check_themes", "deviates", "deviations", "standard_tests"]

_Test = TypeVar("_Test", bound=Callable[..., Any])
_REASON = "_kafkaroute_deviation"


def deviates(reason: str) -> Callable[[_Test], _Test]:
    """Decorates a test that replaces a standard one, and says why it must.

    Raises:
        ValueError: the reason is empty.
    """
    if not isinstance(reason, str) or not reason.strip():
        raise ValueError("a deviation needs a reason")

    def mark(test: _Test) -> _Test:
        setattr(test, _REASON, reason.strip())
        return test

    return mark


def standard_tests(suite: type) -> dict[str, object]:
    """The suite's tests by name."""
    return {name: getattr(suite, name) for name in sorted(dir(suite)) if name.startswith("test_")}


def deviations(suite: type, subclass: type) -> dict[str, str]:
    """The standard tests that `subclass` replaces with a reason: name → reason."""
    found = {}
    for name, standard in standard_tests(suite).items():
        own = getattr(subclass, name, None)
        if own is not standard and (reason := getattr(own, _REASON, None)):
            found[name] = reason
    return found


def check_themes(suite: type) -> None:
    """Raise TypeError where two of the suite's bases have a test of the same name: one would hide
    the other."""
    owners: dict[str, str] = {}
    for base in suite.__mro__:
        for name in vars(base):
            if not name.startswith("test_"):
                continue
            if name in owners:
                raise TypeError(f"{owners[name]} and {base.__name__} both have {name}")
            owners[name] = base.__name__


def check_subclass(suite: type, subclass: type) -> None:
    """Raise TypeError where `subclass` drops or overrides a test of `suite` without a reason."""
    for name, standard in standard_tests(suite).items():
        own = getattr(subclass, name, None)
        if own is standard or getattr(own, _REASON, None):
            continue
        what = "overrides" if callable(own) else "drops"
        raise TypeError(
            f"{subclass.__qualname__} {what} the standard test {name}: remove it, or replace it "
            'by a test decorated with @deviates("the reason")'
        )
