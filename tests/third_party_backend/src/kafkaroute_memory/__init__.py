"""kafkaroute's backend over brokers that live in this process."""

from .backend import MemoryBackend

__all__ = ["MemoryBackend"]
