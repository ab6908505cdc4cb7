"""Types of arguments that compiled modules leave unchecked, as ``kafkaroute/loose.py`` has them."""

from __future__ import annotations

from typing import TypeAlias

__all__ = ["Data", "Number", "Seconds"]

Data: TypeAlias = bytes | str | None
Number: TypeAlias = int
Seconds: TypeAlias = float
