"""What only speed needs: the library has a way of its own for each of these, which takes over where
``KAFKAROUTE_KAFKA_PYTHON_FAST=0``."""
