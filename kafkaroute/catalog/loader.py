"""The catalog that a URI's scheme stands for, imported when it is first wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ConfigurationError, PluginBroken, PluginNotFound
from ..plugins import CATALOGS, load_plugin
from .contract import Catalog

if TYPE_CHECKING:
    from ..settings import Settings

__all__ = ["open_catalog"]


def open_catalog(settings: Settings) -> Catalog:
    """A new catalog for ``settings.service_gateway_uri``; the caller closes it.

    Raises:
        ConfigurationError: the URI has no scheme, or the catalog refuses a setting.
        PluginNotFound: no plug-in of the group ``kafkaroute.catalogs`` has the scheme's name.
        PluginBroken: the plug-in does not load, or is no Catalog.
    """
    scheme, colon, rest = settings.service_gateway_uri.partition(":")
    if not colon or not scheme:
        raise ConfigurationError(
            "service_gateway_uri has no scheme: expected http://…, https://… or file:…"
        )
    try:
        kind = load_plugin(CATALOGS, scheme.lower())
    except PluginNotFound:
        if not rest[:1].isdigit():
            raise
        # What looks like a scheme is a host, and a port follows.
        raise ConfigurationError(
            f"service_gateway_uri has no scheme: write http://{settings.service_gateway_uri} or https://…"
        ) from None
    if not (isinstance(kind, type) and issubclass(kind, Catalog)):
        raise PluginBroken(
            f"the plug-in for catalog scheme {scheme!r} is no subclass of "
            f"{Catalog.__module__}.{Catalog.__qualname__}"
        )
    return kind(settings)
