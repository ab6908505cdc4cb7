"""Writes YAML line by line, because comments must stand where they belong."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from ...rules.model import Value

__all__ = ["Writer"]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
#: Read as booleans or nothing by YAML 1.1.
_RESERVED = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def _scalar(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value) if isinstance(value, int) else _float(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _RESERVED:
        return value
    if value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    return json.dumps(value)


def _float(value: float) -> str:
    text = repr(value)
    if text.lstrip("-") in {"inf", "nan"}:
        return text.replace("inf", ".inf").replace("nan", ".nan")
    # YAML 1.1 wants a dot and a sign in an exponent.
    mantissa, mark, exponent = text.partition("e")
    if not mark:
        return text
    dotted = mantissa if "." in mantissa else f"{mantissa}.0"
    return f"{dotted}e{exponent if exponent[0] in '+-' else '+' + exponent}"


class Writer:
    """A YAML document under construction."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"

    def comment(self, indent: int, text: str) -> None:
        shown = "".join(char if char.isprintable() else " " for char in " ".join(text.split()))
        self._lines.append(f"{' ' * indent}# {shown}")

    def line(self, indent: int, text: str) -> None:
        """A line as it is: structure only."""
        self._lines.append(" " * indent + text)

    def pair(self, indent: int, key: str, value: Value, lead: str = "") -> None:
        """``key: value``; `lead` stands before it, such as ``- ``."""
        self._lines.append(f"{' ' * indent}{lead}{_scalar(key)}: {_scalar(value)}")

    def mapping(self, indent: int, key: str, values: Mapping[str, Value]) -> None:
        if not values:
            self.line(indent, f"{_scalar(key)}: {{}}")
            return
        self.line(indent, f"{_scalar(key)}:")
        for name, value in values.items():
            self.pair(indent + 2, name, value)
