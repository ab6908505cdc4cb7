"""Short words for what tests do to a catalog, and bounds that hold for all of them."""

from kafkaroute import CatalogError

#: What a deadline may be exceeded by, beside the times in which the machine did nothing for us.
SLACK = 0.5
#: What produce() and poll(0) may take at most once a channel is known, whatever the catalog does:
#: what a stall of a busy machine may take, and well below the time-outs of tests that check it.
PROMISE = 2.0
#: As short as the cache takes it.
TTL = 1.0


def await_catalog(world, call, *args):
    """Until `call` is no longer refused for what the catalog does, or did."""

    def works():
        try:
            call(*args)
        except CatalogError:
            return False
        return True

    world.wait(works, 15)


def name_of(fault):
    return fault.name
