"""An HttpCatalog, and a stub that it asks."""

import pytest

from kafkaroute.catalog.contract import Lookup
from kafkaroute.catalog.http import HttpCatalog
from kafkaroute.channel import Channel
from kafkaroute.settings import Settings
from kafkaroute.testing.catalog_stub import CatalogStub

BAR = "kafka://example.com/bar"
CONNECTION = {"bootstrap.servers": "b1.example.net:9092"}


@pytest.fixture
def stub():
    with CatalogStub() as stub:
        stub.put(BAR, topic="c0t3", connection=CONNECTION, configuration={"acks": "all"})
        yield stub


@pytest.fixture
def opened():
    catalogs = []

    def open_one(stub, **settings):
        catalog = HttpCatalog(Settings.from_dict(stub.settings(**settings)))
        catalogs.append(catalog)
        return catalog

    yield open_one
    for catalog in catalogs:
        catalog.close()


def ask(catalog, channel=BAR, intent="", etag=None, timeout=5.0):
    return catalog.lookup(Lookup(Channel.parse(channel), intent, etag, timeout))
