"""kafkaroute's backend over kafka-python. Importing it does not import the client."""

from .backend import KafkaPythonBackend

__all__ = ["KafkaPythonBackend"]
