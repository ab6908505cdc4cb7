"""How a running Producer or Consumer follows a route that changes (docs/moves.md)."""
