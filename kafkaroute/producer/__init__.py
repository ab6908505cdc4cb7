"""How any message is sent. What a route that changes needs beyond that is in ``moving``."""

from ..errors import KafkaException
from .producer import Producer

__all__ = ["KafkaException", "Producer"]
