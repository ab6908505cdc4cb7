"""When a catalog is asked, and what holds while it is not there."""
