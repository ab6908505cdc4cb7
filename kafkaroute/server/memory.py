"""What those who ask can make the service keep, bounded in bytes: the budget, and the table that
holds to a part of it."""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = [
    "ABOUT_BYTES",
    "ANSWER_BYTES",
    "KEPT_BYTES",
    "NOTED_BYTES",
    "POLL_BYTES",
    "REFUSAL_BYTES",
    "SEEN_BYTES",
    "TOLD_BYTES",
    "Table",
]

_MIB = 1024 * 1024
#: Answers that hold, at about 3 KB each as many as there are entries; and those that are no 200,
#: apart, so that nobody pushes good ones out by asking for what there is not.
ANSWER_BYTES, REFUSAL_BYTES = 64 * _MIB, 8 * _MIB
#: Who asked for what: for the page, in the last second, already written, yet to be written.
SEEN_BYTES, NOTED_BYTES, TOLD_BYTES = 32 * _MIB, 16 * _MIB, 16 * _MIB
#: Questions as the audit log tells them.
ABOUT_BYTES = 8 * _MIB
#: Heads of the requests that wait: 100,000 long polls of the usual size have half of it.
POLL_BYTES = 64 * _MIB
#: All of them; `TOLD_BYTES` stands for two tables.
KEPT_BYTES = (
    ANSWER_BYTES
    + REFUSAL_BYTES
    + SEEN_BYTES
    + NOTED_BYTES
    + 2 * TOLD_BYTES
    + ABOUT_BYTES
    + POLL_BYTES
)

#: Bytes of an entry beside what its owner counts: the table's row and the objects' own heads.
_ROW = 200
K = TypeVar("K")
V = TypeVar("V")


class Table(Generic[K, V]):
    """Forgets its oldest entries beyond a number and a size. Not thread-safe."""

    __slots__ = ("_rows", "size")

    def __init__(self) -> None:
        self._rows: dict[K, tuple[V, int]] = {}
        #: Bytes, as counted when the entries were put here.
        self.size = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: K) -> bool:
        return key in self._rows

    def get(self, key: K) -> V | None:
        row = self._rows.get(key)
        return None if row is None else row[0]

    def put(self, key: K, value: V, size: int, *, most: int, most_bytes: int) -> int:
        """Keep `value` as the newest entry; how many were forgotten for it.

        Args:
            size: bytes of key and value.
            most, most_bytes: of all entries. One that takes more than an eighth is not kept.
        """
        self.pop(key)
        size += _ROW
        if size > most_bytes // 8:
            return 1
        self._rows[key] = (value, size)
        self.size += size
        forgotten = 0
        while len(self._rows) > most or self.size > most_bytes:
            self.pop(next(iter(self._rows)))
            forgotten += 1
        return forgotten

    def pop(self, key: K) -> V | None:
        row = self._rows.pop(key, None)
        if row is None:
            return None
        self.size -= row[1]
        return row[0]

    def first(self, number: int) -> list[K]:
        """The oldest keys."""
        return [key for key, _ in zip(self._rows, range(number), strict=False)]

    def clear(self) -> None:
        self._rows.clear()
        self.size = 0
