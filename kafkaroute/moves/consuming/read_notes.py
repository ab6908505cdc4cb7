"""Members tell each other what they have read, but not committed, of the place they all leave.

An application that commits each thousand messages leaves the group's offsets short of the end for
ever, and nobody but the owner of a partition knows that it is read. So the owner commits the same
offset again, with ``kr1:read:<end>;`` as its metadata (unless the application's own is there).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from ...backend.contract import BackendConsumer
from ...messages import TopicPartition

__all__ = ["exchange"]

_NOTE = re.compile(r"kr1:read:([0-9]{1,19});")


def exchange(
    client: BackendConsumer,
    topic: str,
    numbers: Collection[int],
    mine: Mapping[int, int],
    timeout: float,
) -> dict[int, int]:
    """Say how far this member has read (`mine`: partition → end); what all members have said.

    Raises KafkaException: the broker does not answer within `timeout` seconds.
    """
    said: dict[int, int] = {}
    changed = []
    wanted = [TopicPartition(topic, number) for number in sorted(numbers)]
    for one in client.committed(wanted, timeout):
        metadata = one.metadata or ""
        note = _NOTE.match(metadata)
        if note is not None:
            said[one.partition] = int(note[1])
        end = mine.get(one.partition)
        if end is None or one.offset < 0 or end <= max(one.offset, said.get(one.partition, -1)):
            continue
        if not metadata or metadata.startswith("kr1:"):
            text = f"kr1:read:{end};"
            changed.append(TopicPartition(topic, one.partition, one.offset, text, one.leader_epoch))
    if changed:
        client.commit(changed, True)
    return said
