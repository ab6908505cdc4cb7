"""How a Consumer follows a channel that moves: hold, leave, linger, done."""
