"""
Device memory as an engine without PyTorch holds it: mapped pages that can go and come back, and tensors that lie in
them.
"""
from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any, Tuple

from vram_residency.driver import SIGNATURES, Address, Driver, Handle, Int, Out, Size
from vram_residency.virtual_memory import (
    ACCESS_READ_WRITE,
    ALLOCATION_TYPE_PINNED,
    LOCATION_TYPE_DEVICE,
    Access,
    AllocationProperties,
    Location,
)

MIB = 1 << 20
READ_WRITE = ACCESS_READ_WRITE

# What neither guard nor client calls.
SIGNATURES.update(
    {
        "cuCtxSetCurrent": [Handle],
        "cuMemcpyHtoD_v2": [Address, Handle, Size],
        "cuMemcpyDtoH_v2": [Handle, Address, Size],
        "cuStreamBeginCapture_v2": [Handle, Int],
        "cuStreamEndCapture": [Handle, Out(Handle)],
        "cuGraphGetNodes": [Handle, Handle, Out(Size)],
        "cuGraphDestroy": [Handle],
    }
)


def write(driver: Driver, address: int, data: bytes) -> None:
    driver.call("cuMemcpyHtoD_v2", address, ctypes.cast(ctypes.c_char_p(data), Handle), len(data))


def read(driver: Driver, address: int, byte_length: int) -> bytes:
    data = ctypes.create_string_buffer(byte_length)
    driver.call("cuMemcpyDtoH_v2", ctypes.cast(data, Handle), address, byte_length)
    return data.raw


class Mapped:
    """Addresses that stay, and pages under them that sleep and wake. `byte_length` is rounded up to the granularity."""

    def __init__(self, driver: Driver, device: int, byte_length: int, access: int = READ_WRITE) -> None:
        """Errors: DriverFailure."""
        self._driver = driver
        self._location = Location(LOCATION_TYPE_DEVICE, device)
        self._properties = AllocationProperties(ALLOCATION_TYPE_PINNED, 0, self._location, None)
        granularity = driver.get(Size, "cuMemGetAllocationGranularity", ctypes.byref(self._properties), 0)
        self.byte_length = -(-byte_length // granularity) * granularity
        self.address: int = driver.get(Address, "cuMemAddressReserve", self.byte_length, 0, 0, 0)
        self.wake(access)

    def wake(self, access: int = READ_WRITE) -> None:
        """New pages, with whatever the driver gives."""
        properties = ctypes.byref(self._properties)
        self._pages: int = self._driver.get(Address, "cuMemCreate", self.byte_length, properties, 0)
        self._map(self.address, access)

    def sleep(self) -> None:
        self._driver.call("cuMemUnmap", self.address, self.byte_length)
        self._driver.call("cuMemRelease", self._pages)

    def flip(self, offset: int, mask: int) -> None:
        """Changes a byte through a second mapping of the same pages, which nobody who looks at the first could notice."""
        other = self._driver.get(Address, "cuMemAddressReserve", self.byte_length, 0, 0, 0)
        self._map(other, READ_WRITE)
        try:
            [byte] = read(self._driver, other + offset, 1)
            write(self._driver, other + offset, bytes([byte ^ mask]))
        finally:
            self._driver.call("cuMemUnmap", other, self.byte_length)
            self._driver.call("cuMemAddressFree", other, self.byte_length)

    def free(self) -> None:
        self.sleep()
        self._driver.call("cuMemAddressFree", self.address, self.byte_length)

    def _map(self, address: int, access: int) -> None:
        self._driver.call("cuMemMap", address, self.byte_length, 0, self._pages, 0)
        if access:
            requested = Access(self._location, access)
            self._driver.call("cuMemSetAccess", address, self.byte_length, ctypes.byref(requested), 1)


class RawTensor:
    """The part of a tensor's interface that the guard uses, over raw memory: bfloat16."""

    is_cuda = True
    dtype = "torch.bfloat16"
    _version = 0

    def __init__(self, address: int, shape: Tuple[int, ...], device: int) -> None:
        self._address = address
        self.shape = shape
        self.device = SimpleNamespace(index=device)

    def data_ptr(self) -> int:
        return self._address

    def numel(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count

    def element_size(self) -> int:
        return 2

    def nbytes(self) -> int:
        return self.numel() * self.element_size()

    def is_contiguous(self) -> bool:
        return True

    def untyped_storage(self) -> Any:
        return self
