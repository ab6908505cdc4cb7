"""The logical address that an application uses instead of a topic."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from .errors import ChannelInvalid

__all__ = ["MOST_PREVIOUS", "Channel"]

#: Places that a channel may have left and that an answer may name: a consumer asks each of them.
MOST_PREVIOUS = 100

_EXAMPLE = "expected something like kafka://example.com/orders"


@dataclass(frozen=True, slots=True)
class Channel:
    """A parsed channel address, ``scheme://host/path…`` (generic URI syntax, RFC 3986).

    Attributes:
        uri: the text as the application gave it; it is what the catalog is asked for.
        scheme: lower-case scheme, usually ``kafka``.
        host: lower-case host, with its port if there is one.
        path: the path's segments, empty ones left out.
        key: the last path segment, the channel's name in an answer's ``channel_mapping``.
    """

    uri: str
    scheme: str
    host: str
    path: tuple[str, ...]
    key: str

    @classmethod
    def parse(cls, uri: str) -> Channel:
        """Parse `uri`.

        Raises:
            ChannelInvalid: no scheme, host or path, white space or control characters, user
                information, or not a string.
        """
        if not isinstance(uri, str):
            raise ChannelInvalid(f"a channel is a string, not {type(uri).__name__}: {_EXAMPLE}")
        if not uri or any(ch.isspace() or not ch.isprintable() for ch in uri):
            raise ChannelInvalid(f"channel {uri!r} is empty or holds white space: {_EXAMPLE}")
        if "://" not in uri:
            raise ChannelInvalid(f"channel {uri!r} has no scheme: {_EXAMPLE}")
        try:
            parts = urlsplit(uri)
        except ValueError as error:
            raise ChannelInvalid(f"channel {uri!r} is malformed ({error}): {_EXAMPLE}") from None
        if not parts.scheme or not parts.netloc:
            missing = "host" if parts.scheme else "scheme"
            raise ChannelInvalid(f"channel {uri!r} has no {missing}: {_EXAMPLE}")
        if "@" in parts.netloc:
            # Credentials belong to the catalog; a channel is logged freely.
            raise ChannelInvalid("a channel carries no user information (user:password@)")
        segments = tuple(segment for segment in parts.path.split("/") if segment)
        if not segments:
            raise ChannelInvalid(f"channel {uri!r} has no path: {_EXAMPLE}")
        return cls(uri, parts.scheme.lower(), parts.netloc.lower(), segments, segments[-1])

    @property
    def is_pattern(self) -> bool:
        """Whether it stands for the channels beside it (``kafka://example.com/orders/*``)."""
        return self.key == "*"

    def __str__(self) -> str:
        return self.uri
