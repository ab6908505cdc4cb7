"""What no client is to be given, whoever set it: values that end or freeze a process."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from .settings_keys import ConfigValue

__all__ = ["names_a_file", "unfit_setting"]

#: Settings that name a file, which a client reads while it is made. One may be a directory.
_FILES = frozenset(
    {
        "https.ca.location",
        "sasl.kerberos.keytab",
        "sasl.oauthbearer.assertion.file",
        "sasl.oauthbearer.assertion.private.key.file",
        "sasl.oauthbearer.assertion.jwt.template.file",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.crl.location",
        "ssl.key.location",
        "ssl.keystore.location",
    }
)
_OR_A_DIRECTORY = frozenset({"https.ca.location", "ssl.ca.location"})
#: Bytes. The bundles of certificate authorities that systems ship have less than 1 MB.
_LARGEST_FILE = 16 * 1024 * 1024
#: Bytes of names beyond ASCII, each one of a list: librdkafka 2.16 cuts a client's name
#: ("id#consumer-1") at 127 bytes and a server's ("host:port") at 63, in the middle of a character,
#: and writes what is left into its log lines.
_LONGEST_NAME = {"client.id": 96, "bootstrap.servers": 56, "metadata.broker.list": 56}


def names_a_file(key: str) -> bool:
    """Whether the value of the setting `key` is the path of a file that a client reads."""
    return key in _FILES


def unfit_setting(config: Mapping[str, ConfigValue]) -> str | None:
    """What is wrong with the first setting that no client may be made with; names the setting, never
    its value. None where there is none.

    Backends ask before they make a native client: a blank ``group.id`` aborts the process inside
    librdkafka, reading a pipe stops all of its threads, and text is cut at a NUL. Asks the file
    system about files, and reads none. Half a character (a lone surrogate) is no text that could be
    sent: confluent-kafka (2.16) ends the process on a setting's name or a ``group.id`` of that kind.
    """
    for key, value in config.items():
        if (wrong := _no_text(key)) is not None:
            return f"a setting's name {wrong}"
        if isinstance(value, str) and (wrong := _wrong(key, value)) is not None:
            return f"{key} {wrong}"
    return None


def _wrong(key: str, value: str) -> str | None:
    if (wrong := _no_text(value)) is not None:
        return wrong
    if key == "group.id" and not value.strip():
        return "is empty: a group needs a name"
    longest = _LONGEST_NAME.get(key, len(value) * 4)  # UTF-8 has no longer characters
    if not value.isascii() and any(len(name.encode()) > longest for name in value.split(",")):
        return f"is longer than {longest} bytes and not ASCII"
    return _wrong_file(key, value) if key in _FILES else None


def _no_text(value: str) -> str | None:
    """Why no client can be given `value`, whatever it is for."""
    if "\0" in value:
        return "holds a NUL character, where clients would cut it"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "holds half a character (a lone surrogate)"
    return None


def _wrong_file(key: str, value: str) -> str | None:
    try:
        found = Path(value).stat()
    except (OSError, ValueError):
        return None  # what the client says of it is clearer
    if stat.S_ISDIR(found.st_mode):
        return None if key in _OR_A_DIRECTORY else "names a directory, not a file"
    if not stat.S_ISREG(found.st_mode):
        return "names a pipe or a device, not a file"
    if found.st_size > _LARGEST_FILE:
        return f"names a file of more than {_LARGEST_FILE // 1024 // 1024} MB"
    return None
