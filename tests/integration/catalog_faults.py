"""Short words for what tests do to a catalog, and bounds that hold for all of them."""

#: What a deadline may be exceeded by, on a machine that others use (seconds).
SLACK = 0.5
#: What produce() and poll(0) may take at most once a channel is known, whatever the catalog does.
PROMISE = 0.5
#: As short as the cache takes it.
TTL = 1.0


def name_of(fault):
    return fault.name
