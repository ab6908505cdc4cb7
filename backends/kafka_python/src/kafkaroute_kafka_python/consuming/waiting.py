"""Messages that kafka-python handed over in a batch and the application has not had yet."""

from __future__ import annotations

from collections import deque
from typing import Any

from .consumed import ConsumedMessage

__all__ = ["FetchBuffer"]


class _Chunk:
    __slots__ = ("index", "messages", "partition")

    def __init__(self, partition: Any, messages: list[ConsumedMessage]) -> None:
        self.partition = partition
        self.messages = messages
        self.index = 0


class FetchBuffer:
    """Chunks of messages in the order they came; those of paused partitions are kept aside."""

    def __init__(self) -> None:
        self._chunks: deque[_Chunk] = deque()
        self._withheld: dict[Any, list[_Chunk]] = {}

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def __len__(self) -> int:
        """How many messages may be handed out now."""
        return sum(len(chunk.messages) - chunk.index for chunk in self._chunks)

    def add(self, partition: Any, messages: list[ConsumedMessage], *, paused: bool = False) -> None:
        if not messages:
            return
        chunk = _Chunk(partition, messages)
        if paused:
            self._withheld.setdefault(partition, []).append(chunk)
        else:
            self._chunks.append(chunk)

    def pop(self) -> tuple[Any, ConsumedMessage]:
        """The next (partition, message); IndexError when there is none."""
        chunk = self._chunks[0]
        message = chunk.messages[chunk.index]
        chunk.index += 1
        if chunk.index == len(chunk.messages):
            self._chunks.popleft()
        return chunk.partition, message

    def first_offset(self, partition: Any) -> int | None:
        """Where the partition's undelivered messages begin; None where there are none."""
        for chunk in (*self._withheld.get(partition, ()), *self._chunks):
            if chunk.partition == partition:
                return int(chunk.messages[chunk.index]._offset)
        return None

    def holds(self, partition: Any) -> bool:
        if partition in self._withheld:
            return True
        return any(chunk.partition == partition for chunk in self._chunks)

    def drop(self, partition: Any) -> None:
        """Forget the partition's messages (after a seek, or when it was taken away)."""
        self._withheld.pop(partition, None)
        self._chunks = deque(chunk for chunk in self._chunks if chunk.partition != partition)

    def withhold(self, partition: Any) -> None:
        """Deliver nothing of the partition until :meth:`release`."""
        mine = [chunk for chunk in self._chunks if chunk.partition == partition]
        if mine:
            self.drop_chunks(partition)
            self._withheld.setdefault(partition, []).extend(mine)

    def drop_chunks(self, partition: Any) -> None:
        self._chunks = deque(chunk for chunk in self._chunks if chunk.partition != partition)

    def release(self, partition: Any) -> None:
        self._chunks.extend(self._withheld.pop(partition, ()))

    def clear(self) -> None:
        self._chunks.clear()
        self._withheld.clear()
