"""Which extra of kafkaroute brings a package that is not installed."""

from __future__ import annotations

import shlex

__all__ = ["how_to_get"]

#: Top-level module → extra, as pyproject.toml has them.
_EXTRAS = {
    "yaml": "file",
    "re2": "file",
    "uvicorn": "server",
    "httptools": "server",
    "uvloop": "server",
    "jwt": "server",
    "cryptography": "server",
    "jinja2": "server",
    "hvac": "vault",
    "psycopg": "postgresql",
    "rich": "demo",
}


def how_to_get(what: str, error: ImportError) -> str | None:
    """What to tell somebody for whom `error` is in the way of `what`, such as "rules files"; None
    where no extra brings the module."""
    module = (error.name or "").partition(".")[0]
    if (extra := _EXTRAS.get(module)) is None:
        return None
    install = f"pip install {shlex.quote(f'kafkaroute[{extra}]')}"
    return f"{what} need the package that provides {module!r}: {install}"
