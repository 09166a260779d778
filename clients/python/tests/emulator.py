"""
The project's test driver (native/emulator): settings, faults and counts for a test, and an engine that owns device
memory.
"""
from __future__ import annotations

import ctypes
import gc
import json
import os
import unittest
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from kit.raw_memory import Mapped
from vram_residency.driver import Address, Driver, Handle, Int

REPOSITORY = Path(__file__).resolve().parents[3]
LIBRARY = os.environ.get("VRAM_RESIDENCY_LIBCUDA") or str(REPOSITORY / "native/emulator/build/libcuda.so.1")
MISSING = "" if Path(LIBRARY).exists() else f"the test driver is not built: {LIBRARY}"

MIB = 1 << 20
CAPTURE_GLOBAL = 0
STREAM_BLOCKING = 0
STREAM_NON_BLOCKING = 1


class Emulator:
    """Controls of the test driver in this process."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(LIBRARY)
        text, whole = ctypes.c_char_p, ctypes.c_ulonglong
        for name, argtypes in {
            "reset": [text], "configure": [text], "fail_call": [text, whole, Int],
            "flip": [whole, ctypes.c_uint], "lose_device": [Int, Int], "state": [],
        }.items():  # fmt: skip
            function = getattr(self._library, f"vr_emulator_{name}")
            function.argtypes, function.restype = argtypes, text

    def reset(self, settings: str = "") -> None:
        self._do("reset", settings.encode())

    def configure(self, settings: str) -> None:
        self._do("configure", settings.encode())

    def fail_call(self, name: str, nth: int, result: int) -> None:
        self._do("fail_call", name.encode(), nth, result)

    def flip(self, address: int, mask: int = 1) -> None:
        """Changes device memory behind everybody's back."""
        self._do("flip", address, mask)

    def lose_device(self, device: int, result: int = 999) -> None:
        self._do("lose_device", device, result)

    def state(self) -> Dict[str, Any]:
        return json.loads(self._library.vr_emulator_state())

    def calls(self, name: str) -> int:
        return self.state()["calls"].get(name, 0)

    def live(self) -> Dict[str, int]:
        return {kind: count for kind, count in self.state()["live"].items() if count > 0}

    def _do(self, name: str, *arguments: Any) -> None:
        wrong = getattr(self._library, f"vr_emulator_{name}")(*arguments)
        if wrong is not None:
            raise AssertionError(f"{name}: {wrong.decode()}")


class Engine:
    """What runs beside the guard: it owns the context, memory and streams, through the same driver."""

    def __init__(self, device: int = 0) -> None:
        self.driver = Driver(LIBRARY)
        self.device = device
        self.context = self._make("cuDevicePrimaryCtxRetain", device)
        self.call("cuCtxSetCurrent", self.context)
        self._sizes: Dict[int, int] = {}

    def call(self, name: str, *arguments: Any) -> None:
        result = self.result(name, *arguments)
        if result != 0:
            raise AssertionError(f"{name} returned {result}")

    def result(self, name: str, *arguments: Any) -> int:
        return int(getattr(self.driver._library, name)(*(_cell(argument) for argument in arguments)))

    def allocate(self, data: bytes) -> int:
        address = self._make("cuMemAlloc_v2", len(data), kind=Address)
        self.write(address, data)
        return address

    def write(self, address: int, data: bytes) -> None:
        self.call("cuMemcpyHtoD_v2", address, ctypes.c_char_p(data), len(data))

    def free(self, address: int) -> None:
        self.call("cuMemFree_v2", address)

    def stream(self, flags: int = STREAM_NON_BLOCKING) -> int:
        return self._make("cuStreamCreate", flags)

    def fill_later(self, address: int, value: int, byte_length: int, stream: int) -> None:
        """Work in a stream that is not done before somebody waits for it."""
        self.call("cuMemsetD8Async", address, value, byte_length, stream)

    def begin_capture(self, stream: int, mode: int = CAPTURE_GLOBAL) -> None:
        self.call("cuStreamBeginCapture_v2", stream, mode)

    def end_capture(self, stream: int) -> Tuple[int, int]:
        """The result, and the number of nodes."""
        graph, count = Handle(), ctypes.c_size_t()
        result = self.result("cuStreamEndCapture", stream, ctypes.byref(graph))
        if result != 0:
            return result, 0
        self.call("cuGraphGetNodes", graph, None, ctypes.byref(count))
        self.call("cuGraphDestroy", graph)
        return result, count.value

    def current_context(self) -> Optional[int]:
        return self._make("cuCtxGetCurrent")

    def map(self, byte_length: int) -> Mapped:
        """Memory that can sleep."""
        return Mapped(Driver(LIBRARY), self.device, byte_length)

    def _make(self, name: str, *arguments: Any, kind: Any = Handle) -> Any:
        answer = kind()
        self.call(name, ctypes.byref(answer), *arguments)
        return answer.value


def _cell(argument: Any) -> Any:
    return ctypes.c_uint64(argument) if isinstance(argument, int) else argument


@unittest.skipIf(MISSING, MISSING)
class EmulatedCase(unittest.TestCase):
    """A fresh driver for each test; afterwards nothing that a guard took may be left."""

    settings = ""

    def setUp(self) -> None:
        gc.collect()  # a guard of an earlier test must not release into this one
        os.environ["VRAM_RESIDENCY_LIBCUDA"] = LIBRARY
        self.emulator = Emulator()
        self.emulator.reset(self.settings)
        self.engine = Engine()

    def assert_only_the_engines(self) -> None:
        """Its memory and context; a guard's pinned memory, stream, event and module are gone."""
        live = self.emulator.live()
        self.assertEqual({kind: count for kind, count in live.items() if kind not in ("memory", "contexts")}, {})
