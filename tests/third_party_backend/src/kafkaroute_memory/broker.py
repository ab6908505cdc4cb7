"""The brokers: logs, committed offsets, and groups of members."""

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from typing import ClassVar

PARTITIONS = 4


@dataclass(frozen=True)
class Record:
    key: bytes | None
    value: bytes | None
    headers: list | None
    timestamp: int


@dataclass
class Group:
    """Members in the order they came; a generation is in force once every member has seen it."""

    topics: dict = field(default_factory=dict)  # member → its topics
    generation: int = 0
    seen: set = field(default_factory=set)
    committed: dict = field(default_factory=dict)  # (topic, partition) → (offset, metadata)

    def change(self, member, topics):
        if topics:
            self.topics[member] = topics
        else:
            self.topics.pop(member, None)
        self.generation += 1
        self.seen.clear()

    def share(self, member):
        """The partitions of `member`: every n-th of the partitions of its topics."""
        mine = []
        for topic in sorted(self.topics.get(member, ())):
            members = [each for each, topics in self.topics.items() if topic in topics]
            mine += [(topic, p) for p in range(members.index(member), PARTITIONS, len(members))]
        return mine


class Broker:
    _brokers: ClassVar = {}
    _lock = threading.Lock()

    def __init__(self, name):
        self.name = name
        self.lock = threading.Condition()
        self.logs = {}
        self.groups = defaultdict(Group)

    @classmethod
    def named(cls, name):
        with cls._lock:
            return cls._brokers.setdefault(name, Broker(name))

    def log(self, topic):
        """The partitions of `topic`, made when it is first named."""
        return self.logs.setdefault(topic, [[] for _ in range(PARTITIONS)])
