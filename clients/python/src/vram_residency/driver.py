"""The CUDA driver through ctypes. Importing needs no driver; loading one reports what is missing."""
from __future__ import annotations

import ctypes
import os
from typing import Any, Dict, List, Optional

from .errors import DriverFailure, InvalidInput, Unavailable

LIBRARY = "libcuda.so.1"
LIBRARY_VARIABLE = "VRAM_RESIDENCY_LIBCUDA"
OLDEST_VERSION = 12000  # CUDA 12.0, driver 525: the first that reads PTX 8.0
OLDEST_CAPABILITY = (7, 5)

SUCCESS = 0
OUT_OF_MEMORY = 2
NOT_FOUND = 500
CAPTURE_IMPLICIT = 906

CAPTURE_MODE_RELAXED = 2
CAPTURE_STATUS_NONE = 0
STREAM_NON_BLOCKING = 1
EVENT_DISABLE_TIMING = 2
POINTER_ATTRIBUTE_DEVICE_ORDINAL = 9
POINTER_ATTRIBUTE_ACCESS_FLAGS = 16
DEVICE_ATTRIBUTE_CAPABILITY_MAJOR = 75
DEVICE_ATTRIBUTE_CAPABILITY_MINOR = 76

Handle = ctypes.c_void_p
Address = ctypes.c_uint64
Size = ctypes.c_size_t
Int = ctypes.c_int
Unsigned = ctypes.c_uint
Out = ctypes.POINTER

SIGNATURES: Dict[str, List[Any]] = {
    "cuInit": [Unsigned],
    "cuDriverGetVersion": [Out(Int)],
    "cuGetErrorName": [Int, Out(ctypes.c_char_p)],
    "cuGetErrorString": [Int, Out(ctypes.c_char_p)],
    "cuDeviceGetCount": [Out(Int)],
    "cuDeviceGet": [Out(Int), Int],
    "cuDeviceGetName": [ctypes.c_char_p, Int, Int],
    "cuDeviceGetUuid_v2": [ctypes.c_char_p, Int],
    "cuDeviceGetAttribute": [Out(Int), Int, Int],
    "cuDevicePrimaryCtxRetain": [Out(Handle), Int],
    "cuDevicePrimaryCtxRelease_v2": [Int],
    "cuCtxGetCurrent": [Out(Handle)],
    "cuCtxGetDevice": [Out(Int)],
    "cuCtxPushCurrent_v2": [Handle],
    "cuCtxPopCurrent_v2": [Out(Handle)],
    "cuCtxSynchronize": [],
    "cuThreadExchangeStreamCaptureMode": [Out(Int)],
    "cuMemAlloc_v2": [Out(Address), Size],
    "cuMemFree_v2": [Address],
    "cuMemAllocHost_v2": [Out(Handle), Size],
    "cuMemFreeHost": [Handle],
    "cuMemcpyHtoDAsync_v2": [Address, Handle, Size, Handle],
    "cuMemcpyDtoHAsync_v2": [Handle, Address, Size, Handle],
    "cuMemcpyDtoDAsync_v2": [Address, Address, Size, Handle],
    "cuMemsetD8Async": [Address, ctypes.c_ubyte, Size, Handle],
    "cuMemsetD32Async": [Address, Unsigned, Size, Handle],
    "cuMemGetAddressRange_v2": [Out(Address), Out(Size), Address],
    "cuPointerGetAttribute": [Handle, Int, Address],
    "cuStreamCreate": [Out(Handle), Unsigned],
    "cuStreamDestroy_v2": [Handle],
    "cuStreamSynchronize": [Handle],
    "cuStreamWaitEvent": [Handle, Handle, Unsigned],
    "cuStreamIsCapturing": [Handle, Out(Int)],
    "cuEventCreate": [Out(Handle), Unsigned],
    "cuEventDestroy_v2": [Handle],
    "cuEventRecord": [Handle, Handle],
    "cuModuleLoadData": [Out(Handle), ctypes.c_char_p],
    "cuModuleUnload": [Handle],
    "cuModuleGetFunction": [Out(Handle), Handle, ctypes.c_char_p],
    "cuLaunchKernel": [Handle] + [Unsigned] * 7 + [Handle, Out(Handle), Handle],
}


class Driver:
    """A loaded and initialised driver library. Functions are bound on first use, with their signatures."""

    def __init__(self, path: Optional[str] = None) -> None:
        """`path`: the library, else VRAM_RESIDENCY_LIBCUDA, else libcuda.so.1. Errors: Unavailable."""
        self.path = path or os.environ.get(LIBRARY_VARIABLE) or LIBRARY
        try:
            self._library = ctypes.CDLL(self.path)
        except OSError as error:
            raise Unavailable(f"no NVIDIA driver was found: {error}") from error
        self._bound: Dict[str, Any] = {}
        try:
            self.call("cuInit", 0)
        except DriverFailure as error:
            raise Unavailable(f"the driver finds no usable GPU: {error}") from error
        self.version = self.get(Int, "cuDriverGetVersion")
        if self.version < OLDEST_VERSION:
            raise Unavailable(f"the driver is for CUDA {self.version_words}; CUDA 12.0 (driver 525) or newer is needed")

    @property
    def version_words(self) -> str:
        """12080 is "12.8"."""
        return f"{self.version // 1000}.{self.version % 1000 // 10}"

    @property
    def emulated(self) -> bool:
        """Whether this is the project's test driver."""
        return hasattr(self._library, "vrEmulator")

    def result(self, name: str, *arguments: Any) -> int:
        """
        The number that a driver call returns, for callers who expect one failure. Errors: Unavailable without such a
        call.
        """
        function = self._bound.get(name)
        if function is None:
            function = self._bind(name)
        return int(function(*arguments))

    def call(self, name: str, *arguments: Any) -> None:
        """Makes a driver call that must succeed. Errors: DriverFailure."""
        result = self.result(name, *arguments)
        if result != SUCCESS:
            raise self.failure(name, result)

    def get(self, kind: Any, name: str, *arguments: Any) -> Any:
        """Returns what a driver call writes through its first argument. Errors: DriverFailure."""
        answer = kind()
        self.call(name, ctypes.byref(answer), *arguments)
        return answer.value

    def failure(self, call: str, result: int) -> DriverFailure:
        return DriverFailure(call, result, self._text("cuGetErrorName", result), self._text("cuGetErrorString", result))

    def _text(self, name: str, result: int) -> str:
        text = ctypes.c_char_p()
        if self.result(name, result, ctypes.byref(text)) != SUCCESS or text.value is None:
            return f"error {result}"
        return text.value.decode("utf-8", "replace")

    def _bind(self, name: str) -> Any:
        try:
            function = getattr(self._library, name)
        except AttributeError as error:
            raise Unavailable(f"{self.path} has no {name}: it is too old, or not a CUDA driver") from error
        function.argtypes = SIGNATURES[name]
        function.restype = Int
        self._bound[name] = function
        return function


def device_facts(driver: Driver, device: int) -> Dict[str, Any]:
    """
    Index, name, UUID and compute capability. Errors: InvalidInput for a device that is not there, Unavailable for a GPU
    that is too old, DriverFailure.
    """
    count = driver.get(Int, "cuDeviceGetCount")
    if not 0 <= device < count:
        raise InvalidInput(f"device must be 0 to {count - 1}, got {device}")
    handle = driver.get(Int, "cuDeviceGet", device)
    name = ctypes.create_string_buffer(256)
    driver.call("cuDeviceGetName", name, len(name), handle)
    uuid = ctypes.create_string_buffer(16)
    driver.call("cuDeviceGetUuid_v2", uuid, handle)
    digits = uuid.raw.hex()
    capability = (
        driver.get(Int, "cuDeviceGetAttribute", DEVICE_ATTRIBUTE_CAPABILITY_MAJOR, handle),
        driver.get(Int, "cuDeviceGetAttribute", DEVICE_ATTRIBUTE_CAPABILITY_MINOR, handle),
    )
    if capability < OLDEST_CAPABILITY:
        raise Unavailable(f"GPU {device} has compute capability {capability[0]}.{capability[1]}; 7.5 or newer is needed")
    return {
        "index": device,
        "name": name.value.decode("utf-8", "replace"),
        "uuid": "-".join(("GPU", digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])),
        "capability": f"{capability[0]}.{capability[1]}",
        "driver": driver.version_words,
        "emulated": driver.emulated,
    }
