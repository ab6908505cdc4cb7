"""What only speed needs: the library has a way of its own for each of these."""
