"""Reading files that somebody else names or may replace: regular ones only, and never without end."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

__all__ = ["NONBLOCK", "open_regular", "read_regular"]

#: For os.open(): a pipe without its other end is an error then, instead of a wait for it.
NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """The file at `path`, open for reading. Never waits for a pipe's or a device's other end.

    Raises:
        OSError: it cannot be opened, or is no regular file; `strerror` says which.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | NONBLOCK)
    try:
        _check(os.fstat(handle).st_mode, os.fspath(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _check(mode: int, path: str) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file", path)


def read_regular(path: str | os.PathLike[str], limit: int) -> bytes:
    """What is in the file at `path`.

    Args:
        limit: bytes that it may hold.

    Raises:
        OSError: as :func:`open_regular`, or it holds more.
    """
    with open_regular(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit} bytes", os.fspath(path))
    return content
