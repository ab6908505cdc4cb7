"""Where rules and their history are kept: a file or PostgreSQL."""
