"""The catalog over HTTP: the question, its deadline and size, and what a refusal means."""

from .http_catalog import HttpCatalog

__all__ = ["HttpCatalog"]
