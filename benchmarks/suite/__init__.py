"""What kafkaroute costs, measured against the clients below it: ``python -m benchmarks.suite``."""
