"""What the log says of an error that nobody foresaw: where it happened, and none of its texts."""

from __future__ import annotations

import traceback

__all__ = ["told_without_texts"]


def told_without_texts(error: BaseException) -> str:
    """The kinds of `error` and its causes, and the places in the code that they came through.

    Not their messages, which may hold a secret out of an answer or a request.
    """
    found: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        places = [
            f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(current.__traceback__)
        ]
        found.append(f"{type(current).__name__} at {' > '.join(places) or 'an unknown place'}")
        current = current.__cause__ or current.__context__
    return "; because of ".join(found)
