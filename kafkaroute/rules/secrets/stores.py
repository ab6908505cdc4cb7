"""Where secrets are kept: the contract of a store, and those of this machine.

A store is an entry point of the group ``kafkaroute.secrets``; its name is the first part of a
reference: ``{vault://NAME/…}``.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from ...errors import KafkarouteError
from ...regular_files import read_regular

__all__ = ["EnvironmentStore", "FileStore", "SecretStore", "SecretUnavailable", "variable_name"]

_ENV_NAME = re.compile(r"[A-Za-z0-9_-]+")
_MAX_BYTES = 64 * 1024


class SecretUnavailable(KafkarouteError):
    """A secret cannot be read now. The text names its reference and the cause, never the secret."""


class SecretStore(ABC):
    """Reads secrets. Made once a process, without arguments, when it is first needed.

    Secrets come in documents, so that a user and its password that change together are seen
    together.

    Attributes:
        life: seconds for which a document is used before it is read again; 0: read each time,
            which then must take microseconds.
    """

    life: ClassVar[float] = 60.0

    @abstractmethod
    def split(self, name: str) -> tuple[str, str]:
        """The document and the key in it that `name`, the rest of a reference, means.

        Asked when rules are checked: no I/O.

        Raises:
            ValueError: `name` cannot be one; says why.
        """

    @abstractmethod
    def read(self, document: str) -> Mapping[str, str]:
        """The secrets in `document` by key; none where there is no such document. Blocks.

        Called in any thread, with seconds to answer at most.

        Raises:
            SecretUnavailable: it cannot be told now.
        """


def variable_name(name: str) -> str:
    """``cc-user1`` means ``CC_USER1``."""
    return name.replace("-", "_").upper()


class EnvironmentStore(SecretStore):
    """``{vault://env/cc-user1}``: the environment variable ``CC_USER1``."""

    life: ClassVar[float] = 0.0

    def split(self, name: str) -> tuple[str, str]:
        if not _ENV_NAME.fullmatch(name):
            raise ValueError(f"{name!r} names no environment variable")
        return variable_name(name), ""

    def read(self, document: str) -> Mapping[str, str]:
        found = os.environ.get(document)
        return {} if found is None else {"": found}


class FileStore(SecretStore):
    """``{vault://file/run/secrets/kafka}``: the text of the file ``/run/secrets/kafka``.

    Without the line's end that editors leave. Kubernetes and systemd put secrets into files and
    exchange them while a service runs.
    """

    life: ClassVar[float] = 2.0

    def split(self, name: str) -> tuple[str, str]:
        if not name or name.endswith("/") or "\0" in name:
            raise ValueError(f"{name!r} names no file")
        return f"/{name.lstrip('/')}", ""

    def read(self, document: str) -> Mapping[str, str]:
        try:
            text = read_regular(document, _MAX_BYTES).decode()
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise SecretUnavailable(f"the file {document}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SecretUnavailable(f"the file {document} is not UTF-8 text") from None
        return {"": text.removesuffix("\n").removesuffix("\r")}
