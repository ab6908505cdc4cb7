"""Catalogs: how a channel becomes a Route."""

from .contract import Catalog, Lookup

__all__ = ["Catalog", "Lookup"]
