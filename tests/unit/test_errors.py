"""What an error of the catalog says of a channel."""

import pytest

from kafkaroute import (
    CatalogAnswerInvalid,
    CatalogUnauthorized,
    CatalogUnavailable,
    ChannelNotFound,
    RouteRejected,
)
from kafkaroute.errors import is_revoked


@pytest.mark.parametrize("error", [CatalogUnauthorized("401"), ChannelNotFound("404")])
def test_what_refuses_the_channel_itself(error):
    assert is_revoked(error)


@pytest.mark.parametrize(
    "error", [CatalogUnavailable("503"), CatalogAnswerInvalid("{}"), RouteRejected("no"), None]
)
def test_what_says_nothing_of_the_channel(error):
    assert not is_revoked(error)
