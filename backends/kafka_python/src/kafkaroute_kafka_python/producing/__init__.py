"""How a message gets from produce() into the library, and its report back."""
