"""Waits for the engine's work without disturbing a capture: by events, after checking which streams are captured."""
from __future__ import annotations

import ctypes
import sys
from typing import Any, Callable, Iterable, List, Optional, Union

from .context import Context
from .driver import CAPTURE_IMPLICIT, CAPTURE_STATUS_NONE, SUCCESS, Int
from .errors import Busy, InvalidInput

LEGACY = 0
EVENT_WAIT_DEFAULT = 0

# Raw handles, or objects with `cuda_stream`, as PyTorch's streams have.
Streams = Union[Iterable[Any], Callable[[], Iterable[Any]]]


class EngineStreams:
    """
    The streams whose work comes before a run: the legacy stream, with it every blocking stream, and those that are
    named, which are PyTorch's current and default stream unless the caller says otherwise. The context has to be
    current.
    """

    def __init__(self, context: Context, named: Optional[Streams]) -> None:
        self._context = context
        self._driver = context.driver
        self._named = named

    def require_no_capture(self) -> None:
        """The check disturbs nothing. Errors: Busy."""
        for stream in self._streams():
            status = Int()
            result = self._driver.result("cuStreamIsCapturing", stream, ctypes.byref(status))
            if result == CAPTURE_IMPLICIT or (result == SUCCESS and status.value != CAPTURE_STATUS_NONE):
                raise Busy("a CUDA graph is being captured: nothing was touched; ask again after the capture")
            if result != SUCCESS:
                raise self._driver.failure("cuStreamIsCapturing", result)

    def order_before(self, stream: Optional[int], event: Optional[int]) -> None:
        """Makes `stream` wait for the work queued in these streams now."""
        for other in self._streams():
            self._driver.call("cuEventRecord", event, other)
            self._driver.call("cuStreamWaitEvent", stream, event, EVENT_WAIT_DEFAULT)

    def _streams(self) -> List[int]:
        named = self._named() if callable(self._named) else self._named
        if named is None:
            named = _streams_of_pytorch(self._context.device)
        return list(dict.fromkeys([LEGACY, *(_handle_of(stream) for stream in named)]))


def _handle_of(stream: Any) -> int:
    handle = getattr(stream, "cuda_stream", stream)
    if not isinstance(handle, int) or handle < 0:
        raise InvalidInput(f"streams must be CUDA stream handles or have cuda_stream, got {type(stream).__name__}")
    return handle


def _streams_of_pytorch(device: int) -> List[Any]:
    """Empty if the engine does not use PyTorch, which this module never imports."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.current_stream(device), torch.cuda.default_stream(device)]
