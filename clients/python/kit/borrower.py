#!/usr/bin/env python3
"""
Hardware kit, steps sharing and survivors: a process that borrows a model and does what it is told. Usage: borrower.py SOCKET
MODEL. It prints one JSON object when it has the lease, and one for each line of stdin: `read`, `check`, `hear SECONDS`,
`store`, `ask-write`, `ipc`, `free`, `close`. Exit codes: 0 stdin ended, 1 no lease, 2 bad arguments, 3 no usable GPU.
"""
from __future__ import annotations

import ctypes
import hashlib
import json
import sys
import time
from typing import Any, Callable, Dict

import step

step.add_package_to_path()

from raw_memory import MIB, read  # noqa: E402 - the package's path comes first
from vram_residency import GuardError, Unavailable  # noqa: E402
from vram_residency.driver import SIGNATURES, SUCCESS, Address, Driver, Handle, Int, Out, Size  # noqa: E402
from vram_residency.share import Lease, Revoked, ShareError, connect  # noqa: E402
from vram_residency.virtual_memory import (  # noqa: E402
    ACCESS_READ_WRITE,
    LOCATION_TYPE_DEVICE,
    Access,
    Flags,
    Location,
)

PIECE_BYTES = 16 * MIB  # read back at a time
IPC_HANDLE_BYTES = 64
# The age of a verification is no matter here: only how a lease ends is.
ANY_AGE_MS = 3_600_000

# What neither guard nor client calls.
SIGNATURES.update(
    {
        "cuMemGetInfo_v2": [Out(Size), Out(Size)],
        "cuIpcGetMemHandle": [ctypes.c_char_p, Address],
    }
)

STORE = b"""
.version 8.0
.target sm_75
.address_size 64
.visible .entry store_lent(.param .u64 store_lent_param_0)
{
	.reg .b32 	%r<2>;
	.reg .b64 	%rd<3>;
	ld.param.u64 	%rd1, [store_lent_param_0];
	cvta.to.global.u64 	%rd2, %rd1;
	mov.u32 	%r1, 7;
	st.global.u32 	[%rd2], %r1;
	ret;
}
\0"""


class Borrower:
    """The first shard of a lease, through the driver alone. Its context is the device's primary one, made current."""

    def __init__(self, lease: Lease) -> None:
        """Errors: DriverFailure, Unavailable."""
        self._lease = lease
        self._mapping = lease.shards[0].mapping
        self._byte_length = int(lease.shards[0].seal["byteLength"])
        self._driver = Driver()
        first = next(iter(lease.tensors.values()))
        self._device = first.__dlpack_device__()[1]
        context = self._driver.get(Handle, "cuDevicePrimaryCtxRetain", self._driver.get(Int, "cuDeviceGet", self._device))
        self._driver.call("cuCtxSetCurrent", context)

    def begin(self) -> Dict[str, Any]:
        return {"byteLength": self._byte_length, "mappedBytes": self._mapping.byte_length, "access": self._access()}

    def read(self, _: str) -> Dict[str, Any]:
        """SHA-256 of what the GPU's memory holds for this process."""
        digest = hashlib.sha256()
        for at in range(0, self._byte_length, PIECE_BYTES):
            length = min(PIECE_BYTES, self._byte_length - at)
            digest.update(read(self._driver, self._mapping.address + at, length))
        return {"sha256": digest.hexdigest()}

    def check(self, _: str = "") -> Dict[str, Any]:
        try:
            self._lease.check(ANY_AGE_MS)
        except ShareError as error:
            return {"outcome": error.reason if isinstance(error, Revoked) else error.code}
        return {"outcome": "good"}

    def hear(self, seconds: str) -> Dict[str, Any]:
        """How the lease ends; `good` if it has not ended by then."""
        until = time.monotonic() + float(seconds)
        while True:
            found = self.check()
            if found["outcome"] not in ("good", "STALE") or time.monotonic() > until:
                return found
            time.sleep(0.02)

    def store(self, _: str) -> Dict[str, Any]:
        """A kernel's store to the lent memory. One that is refused voids this process's context."""
        module, function = Handle(), Handle()
        self._driver.call("cuModuleLoadData", ctypes.byref(module), STORE)
        self._driver.call("cuModuleGetFunction", ctypes.byref(function), module, b"store_lent")
        address = Address(self._mapping.address)
        arguments = (Handle * 1)(ctypes.cast(ctypes.byref(address), Handle))
        launched = self._driver.result("cuLaunchKernel", function, 1, 1, 1, 1, 1, 1, 0, None, arguments, None)
        ended = launched if launched != SUCCESS else self._driver.result("cuCtxSynchronize")
        return {"outcome": self._words("cuCtxSynchronize", ended)}

    def ask_write(self, _: str) -> Dict[str, Any]:
        """Whether the driver lets an importer write, if it asks. What it grants is what the mapping has from then on."""
        requested = Access(Location(LOCATION_TYPE_DEVICE, self._device), ACCESS_READ_WRITE)
        result = self._driver.result(
            "cuMemSetAccess", self._mapping.address, self._mapping.byte_length, ctypes.byref(requested), 1
        )
        return {"outcome": self._words("cuMemSetAccess", result), "access": self._access()}

    def ipc(self, _: str) -> Dict[str, Any]:
        """Whether the older way to share exists for this memory as well."""
        handle = ctypes.create_string_buffer(IPC_HANDLE_BYTES)
        try:
            result = self._driver.result("cuIpcGetMemHandle", handle, self._mapping.address)
        except Unavailable:
            return {"outcome": "the driver has no such call"}
        return {"outcome": self._words("cuIpcGetMemHandle", result)}

    def free(self, _: str) -> Dict[str, Any]:
        free, total = Size(), Size()
        self._driver.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return {"freeBytes": free.value}

    def close(self, _: str) -> Dict[str, Any]:
        self._lease.close()
        return {"outcome": "closed"}

    def _access(self) -> int:
        location = Location(LOCATION_TYPE_DEVICE, self._device)
        return int(self._driver.get(Flags, "cuMemGetAccess", ctypes.byref(location), self._mapping.address))

    def _words(self, call: str, result: int) -> str:
        return "CUDA_SUCCESS" if result == SUCCESS else str(self._driver.failure(call, result).name)


def say(found: Dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


def obey(borrower: Borrower) -> None:
    orders: Dict[str, Callable[[str], Dict[str, Any]]] = {
        "read": borrower.read,
        "check": borrower.check,
        "hear": borrower.hear,
        "store": borrower.store,
        "ask-write": borrower.ask_write,
        "ipc": borrower.ipc,
        "free": borrower.free,
        "close": borrower.close,
    }
    for line in sys.stdin:
        order, _, argument = line.strip().partition(" ")
        try:
            say(orders[order](argument))
        except GuardError as error:
            say({"error": str(error)})


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: borrower.py SOCKET MODEL", file=sys.stderr)
        return step.MISUSED
    try:
        borrower = Borrower(connect(sys.argv[1], client="kit").lend(sys.argv[2]))
    except GuardError as error:
        print(f"borrower.py: {error}", file=sys.stderr)
        return step.NO_GPU if isinstance(error, Unavailable) else step.FAILED
    say(borrower.begin())
    obey(borrower)
    return step.PASSED


if __name__ == "__main__":
    sys.exit(main())
