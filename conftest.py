"""Fixtures for every test of the tree."""

pytest_plugins = ["kafkaroute.testing.plugin"]
