"""Channel: what is a channel address, its key, and what is said of one that is none."""

import pytest

from kafkaroute import Channel, ChannelInvalid, KafkarouteError


@pytest.mark.parametrize(
    ("uri", "host", "path", "key"),
    [
        ("kafka://example.com/bar", "example.com", ("bar",), "bar"),
        ("kafka://example.org/t1/orders", "example.org", ("t1", "orders"), "orders"),
        ("kafka://example.com/bar/", "example.com", ("bar",), "bar"),
        ("kafka://example.com/bar?x=1", "example.com", ("bar",), "bar"),
        ("kafka://example.com/bar/?x=1#part", "example.com", ("bar",), "bar"),
        ("kafka://example.com//a///b//", "example.com", ("a", "b"), "b"),
        ("KAFKA://Example.COM:9092/Bar", "example.com:9092", ("Bar",), "Bar"),
        ("kafka://example.com/a%20b", "example.com", ("a%20b",), "a%20b"),
        ("kafka://example.com/größe", "example.com", ("größe",), "größe"),
        ("kafka://example.com/orders/*", "example.com", ("orders", "*"), "*"),
        ("kafka://[::1]:80/x", "[::1]:80", ("x",), "x"),
    ],
)
def test_parts(uri, host, path, key):
    channel = Channel.parse(uri)
    assert (channel.scheme, channel.host, channel.path, channel.key) == ("kafka", host, path, key)
    assert str(channel) == channel.uri == uri


def test_equal_channels_are_equal_and_frozen():
    one, other = Channel.parse("kafka://a/b"), Channel.parse("kafka://a/b")
    assert one == other
    assert hash(one) == hash(other)
    with pytest.raises(AttributeError):
        one.key = "c"


@pytest.mark.parametrize(
    ("uri", "hint"),
    [
        ("", "empty"),
        ("orders", "no scheme"),
        ("kafka:orders", "no scheme"),
        ("kafka:///orders", "no host"),
        ("://example.com/orders", "no scheme"),
        ("kafka://example.com", "no path"),
        ("kafka://example.com/", "no path"),
        ("kafka://example.com/?x=1", "no path"),
        ("kafka://example.com/a b", "white space"),
        ("kafka://example.com/a\n", "white space"),
        ("kafka://example.com/a\x00b", "white space"),
        ("kafka://[::1/x", "malformed"),
    ],
)
def test_refused(uri, hint):
    with pytest.raises(ChannelInvalid, match=hint) as caught:
        Channel.parse(uri)
    assert "kafka://example.com/orders" in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, KafkarouteError)


@pytest.mark.parametrize("value", [None, 7, b"kafka://example.com/bar", ["kafka://example.com/b"]])
def test_only_strings(value):
    with pytest.raises(ChannelInvalid, match=f"not {type(value).__name__}"):
        Channel.parse(value)


def test_credentials_are_refused_and_not_repeated():
    with pytest.raises(ChannelInvalid) as caught:
        Channel.parse("kafka://alice:hunter2@example.com/bar")
    assert "hunter2" not in str(caught.value)
    assert "alice" not in str(caught.value)
