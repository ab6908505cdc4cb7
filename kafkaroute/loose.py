"""Types of arguments that compiled modules leave unchecked, as the modules are when they are not
compiled: a compilation follows no imports, so these are ``Any`` to it. Native clients take more than
they promise (any buffer for a payload, any ``__index__`` for a number)."""

from __future__ import annotations

from typing import TypeAlias

__all__ = ["Data", "Number"]

Data: TypeAlias = bytes | str | None
Number: TypeAlias = int
