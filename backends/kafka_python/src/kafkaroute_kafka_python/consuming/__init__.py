"""How messages, rebalances and offsets get from the library to the application."""
