"""The PTX that ships in this package, loaded into the engine's context."""
from __future__ import annotations

import ctypes
from importlib import resources
from typing import Any, Optional

from .driver import Driver, Handle
from .tree import HASHES_PER_BLOCK

THREADS = 128
_ARGUMENTS = 5


def shipped_ptx() -> bytes:
    return resources.files(__package__).joinpath("vram.ptx").read_bytes()


class Kernels:
    """Launches vr_leaves and vr_nodes in one stream; the context has to be current."""

    def __init__(self, driver: Driver, stream: Optional[int], ptx: bytes) -> None:
        """Errors: DriverFailure, for example for PTX that the driver does not compile."""
        self._driver = driver
        self._stream = stream
        self._module = driver.get(Handle, "cuModuleLoadData", ptx)  # ctypes ends a bytes object in a null character
        try:
            self._leaves = driver.get(Handle, "cuModuleGetFunction", self._module, b"vr_leaves")
            self._nodes = driver.get(Handle, "cuModuleGetFunction", self._module, b"vr_nodes")
        except BaseException:
            self.unload()
            raise
        # The driver copies arguments during the launch, so these cells serve all launches.
        self._cells = (ctypes.c_uint64 * _ARGUMENTS)()
        width = ctypes.sizeof(ctypes.c_uint64)
        first = ctypes.addressof(self._cells)
        self._pointers = (Handle * _ARGUMENTS)(*[first + width * index for index in range(_ARGUMENTS)])

    def leaves(self, data: int, blocks: int, canary: int, out: int, counter: int) -> None:
        """Hashes blocks in place to `out`, followed by the canary's block. Addresses are multiples of 16."""
        self._launch(self._leaves, blocks + 1, data, blocks, canary, out, counter)

    def nodes(self, hashes: int, count: int, canary: int, out: int, counter: int) -> None:
        """Hashes packed hashes, 128 to a block, to `out`, followed by the canary's block."""
        self._launch(self._nodes, -(-count // HASHES_PER_BLOCK) + 1, hashes, count, canary, out, counter)

    def unload(self) -> None:
        self._driver.call("cuModuleUnload", self._module)

    def _launch(self, function: Any, threads: int, *values: int) -> None:
        self._cells[:] = list(values)
        groups = -(-threads // THREADS)
        self._driver.call("cuLaunchKernel", function, groups, 1, 1, THREADS, 1, 1, 0, self._stream, self._pointers, None)
