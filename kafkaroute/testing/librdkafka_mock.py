"""librdkafka's mock cluster through ctypes.

The functions are declared in librdkafka's ``rdkafka_mock.h`` (marked experimental there) and
exported by the shared object inside confluent-kafka's wheels, which is found here without
importing the client.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from .cluster import ClusterUnavailable

__all__ = ["MockFunctions", "load_mock_functions"]

_PRODUCER = 0  # rd_kafka_type_t
_HANDLE = ctypes.c_void_p
_SIGNATURES: dict[str, tuple[object, Sequence[object]]] = {
    "rd_kafka_conf_new": (_HANDLE, ()),
    "rd_kafka_conf_set_log_cb": (None, (_HANDLE, _HANDLE)),
    "rd_kafka_new": (_HANDLE, (ctypes.c_int, _HANDLE, ctypes.c_char_p, ctypes.c_size_t)),
    "rd_kafka_destroy": (None, (_HANDLE,)),
    "rd_kafka_mock_cluster_new": (_HANDLE, (_HANDLE, ctypes.c_int)),
    "rd_kafka_mock_cluster_destroy": (None, (_HANDLE,)),
    "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, (_HANDLE,)),
    "rd_kafka_mock_topic_create": (
        ctypes.c_int,
        (_HANDLE, ctypes.c_char_p, ctypes.c_int, ctypes.c_int),
    ),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, (_HANDLE, ctypes.c_int32)),
    "rd_kafka_mock_push_request_errors_array": (
        None,
        (_HANDLE, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)),
    ),
    "rd_kafka_mock_clear_request_errors": (None, (_HANDLE, ctypes.c_int16)),
    "rd_kafka_mock_broker_set_down": (ctypes.c_int, (_HANDLE, ctypes.c_int32)),
    "rd_kafka_mock_broker_set_up": (ctypes.c_int, (_HANDLE, ctypes.c_int32)),
    "rd_kafka_mock_broker_set_rtt": (ctypes.c_int, (_HANDLE, ctypes.c_int32, ctypes.c_int)),
}
_HOW_TO_GET = "install confluent-kafka from a wheel: pip install 'kafkaroute[testing]'"


def _candidates() -> Iterator[str]:
    spec = importlib.util.find_spec("confluent_kafka")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        # Linux and Windows wheels keep their libraries beside the package, macOS ones inside it.
        for folder in (package.parent / "confluent_kafka.libs", package / ".dylibs"):
            yield from (str(path) for path in sorted(folder.glob("librdkafka*")))
    system = ctypes.util.find_library("rdkafka")
    if system is not None:
        yield system


class MockFunctions:
    """The few C functions that an embedded cluster needs, with their signatures set."""

    def __init__(self, library: ctypes.CDLL, path: str) -> None:
        self.path = path
        for name, (result, arguments) in _SIGNATURES.items():
            try:
                function = getattr(library, name)
            except AttributeError:
                raise ClusterUnavailable(
                    f"{path} does not export {name}, so there is no embedded cluster; {_HOW_TO_GET}"
                ) from None
            function.restype = result
            function.argtypes = list(arguments)
            setattr(self, name.removeprefix("rd_kafka_"), function)

    def __getattr__(self, name: str) -> ctypes._NamedFuncPointer:
        raise AttributeError(name)

    def open_client(self) -> int:
        """A librdkafka instance that logs nothing; it only carries the mock cluster."""
        conf = self.conf_new()
        self.conf_set_log_cb(conf, None)
        reason = ctypes.create_string_buffer(512)
        handle = self.new(_PRODUCER, conf, reason, len(reason))
        if not handle:
            raise ClusterUnavailable(f"librdkafka does not start: {reason.value.decode()}")
        return int(handle)


@cache
def load_mock_functions() -> MockFunctions:
    """Find librdkafka.

    Raises:
        ClusterUnavailable: there is none, or it lacks the mock cluster's symbols.
    """
    failures = []
    for path in _candidates():
        try:
            library = ctypes.CDLL(path)
        except OSError as error:
            failures.append(f"{path}: {error}")
            continue
        return MockFunctions(library, path)
    found = f" ({'; '.join(failures)})" if failures else ""
    raise ClusterUnavailable(f"no librdkafka shared object was found{found}; {_HOW_TO_GET}")
