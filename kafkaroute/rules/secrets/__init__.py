"""Where secrets of rules are kept, and how long a reading serves."""
