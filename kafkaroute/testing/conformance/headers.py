"""Record headers: order, repetition, null values."""

from __future__ import annotations

from ...backend.contract import Capability, HeadersInput
from ...messages import Headers
from .kit import Kit
from .requirements import requires

__all__ = ["HeaderTests"]


def _carry(kit: Kit, headers: HeadersInput | None) -> Headers | None:
    topic = kit.topic()
    kit.write(topic, [b"v"], headers=headers)
    [message] = kit.read_all(topic, 1)
    return message.headers()


class HeaderTests:
    @requires(Capability.HEADERS)
    def test_headers_as_a_list(self, kit: Kit) -> None:
        headers: Headers = [("b", b"1"), ("a", b"\xff\x00"), ("empty", b"")]
        assert _carry(kit, headers) == headers

    @requires(Capability.HEADERS, Capability.NULL_HEADER_VALUES)
    def test_headers_may_repeat_and_be_null(self, kit: Kit) -> None:
        headers: Headers = [("same", b"1"), ("same", None), ("same", b"2")]
        assert _carry(kit, headers) == headers

    @requires(Capability.HEADERS, Capability.NULL_HEADER_VALUES)
    def test_headers_as_a_mapping_with_text(self, kit: Kit) -> None:
        assert _carry(kit, {"name": "größe", "none": None}) == [
            ("name", "größe".encode()),
            ("none", None),
        ]

    @requires(Capability.HEADERS)
    def test_header_names_may_be_any_text(self, kit: Kit) -> None:
        assert _carry(kit, [("größe", b"1")]) == [("größe", b"1")]

    @requires(Capability.HEADERS)
    def test_empty_headers_are_none(self, kit: Kit) -> None:
        assert not _carry(kit, [])

    def test_without_headers_there_are_none(self, kit: Kit) -> None:
        assert _carry(kit, None) is None
