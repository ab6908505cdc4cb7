"""How several native consumers are read as one. What a route that changes needs is in ``moving``."""

from ..errors import KafkaException
from .consumer import Consumer

__all__ = ["Consumer", "KafkaException"]
