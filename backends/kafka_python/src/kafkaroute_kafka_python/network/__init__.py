"""Connections: opening, closing, logging in, and what the library only logs of them."""
