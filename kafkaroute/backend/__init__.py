"""Backends: what one must provide, and how it is found."""
