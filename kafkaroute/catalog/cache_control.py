"""The two directives of ``Cache-Control`` that a route's life depends on (RFC 9111, RFC 5861)."""

from __future__ import annotations

__all__ = ["cache_control"]


def cache_control(header: str | None) -> tuple[float | None, float | None]:
    """(``max-age``, ``stale-if-error``) in seconds; None where not sent or not a number.

    ``no-store`` and ``no-cache`` are passed over: gateways add them to everything, and a catalog
    that wants to be asked often says ``max-age``.
    """
    found: dict[str, float] = {}
    for directive in (header or "").split(","):
        name, _, value = directive.strip().partition("=")
        value = value.strip().strip('"')
        # A bound on the digits: int() of a long text is slow, and no route lives 300 years.
        if value.isascii() and value.isdigit() and len(value) <= 10:
            found.setdefault(name.strip().lower(), float(value))
    return found.get("max-age"), found.get("stale-if-error")
