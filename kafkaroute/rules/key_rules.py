"""Which keys of a mapping go together, as a reader and a JSON Schema say it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

__all__ = ["ExactlyOne", "KeyRule", "Needs", "NotBoth", "Together"]


@dataclass(frozen=True, slots=True)
class KeyRule(ABC):
    """What holds between two keys; `message` says what is wrong where it does not."""

    one: str
    other: str
    message: str

    def unclear(self, _keys: Collection[str]) -> tuple[str, ...]:
        """Keys that are not looked into, as which of them is meant is not known."""
        return ()

    @abstractmethod
    def broken(self, keys: Collection[str], sound: Collection[str]) -> str | None:
        """None where the rule holds for `keys`, of which `sound` could be read; else the key whose
        place is named, or "" for the mapping's own."""

    @abstractmethod
    def add_to(self, schema: dict[str, Any]) -> None:
        """Say it in the JSON Schema of the mapping."""


class NotBoth(KeyRule):
    """At most one of the two."""

    __slots__ = ()

    def unclear(self, keys: Collection[str]) -> tuple[str, ...]:
        return (self.one, self.other) if self.broken(keys, ()) is not None else ()

    def broken(self, keys: Collection[str], _sound: Collection[str]) -> str | None:
        return "" if self.one in keys and self.other in keys else None

    def add_to(self, schema: dict[str, Any]) -> None:
        schema["not"] = {"required": [self.one, self.other]}


class ExactlyOne(KeyRule):
    """One of the two."""

    __slots__ = ()

    def broken(self, keys: Collection[str], _sound: Collection[str]) -> str | None:
        return "" if (self.one in keys) == (self.other in keys) else None

    def add_to(self, schema: dict[str, Any]) -> None:
        schema["oneOf"] = [{"required": [self.one]}, {"required": [self.other]}]


class Together(KeyRule):
    """Both or neither."""

    __slots__ = ()

    def broken(self, keys: Collection[str], _sound: Collection[str]) -> str | None:
        return "" if (self.one in keys) != (self.other in keys) else None

    def add_to(self, schema: dict[str, Any]) -> None:
        schema["dependentRequired"] = {self.one: [self.other], self.other: [self.one]}


class Needs(KeyRule):
    """The one means nothing without the other."""

    __slots__ = ()

    def broken(self, keys: Collection[str], sound: Collection[str]) -> str | None:
        return self.one if self.one in sound and self.other not in keys else None

    def add_to(self, schema: dict[str, Any]) -> None:
        schema["dependentRequired"] = {self.one: [self.other]}
