"""Lent device memory, mapped into this process for reading."""
from __future__ import annotations

import ctypes
import mmap
import os
from contextlib import ExitStack
from typing import Optional

from ..context import Context
from ..driver import Address, Driver, Int, Size
from ..errors import DriverFailure
from ..virtual_memory import (
    ACCESS_READ,
    HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
    LOCATION_TYPE_DEVICE,
    Access,
    Flags,
    Location,
)
from .errors import AccessRefused
from .users import Users


class Mapping:
    """
    `address` and `byte_length` of the mapping. The descriptor is the caller's; it is not needed once this is built.
    `host` is where the emulated driver's memory lies in this process; None on a GPU.
    """

    def __init__(self, context: Context, descriptor: int, byte_length: int) -> None:
        """Errors: AccessRefused. Nothing is left mapped then."""
        self.byte_length = byte_length
        self.address = 0
        self.host: Optional[HostPages] = None
        self.users = Users()
        self._context = context
        taken = ExitStack()
        try:
            with context.entered():
                self._map(taken, descriptor)
            if context.driver.emulated:
                self.host = HostPages(descriptor, byte_length)
                taken.callback(self.host.close)
        except DriverFailure as error:
            self._undo(taken)
            raise AccessRefused(f"the memory could not be mapped for reading: {error}") from error
        except BaseException:
            self._undo(taken)
            raise
        self._taken = taken

    def close(self) -> None:
        """Unmaps; does nothing when repeated. Errors: DriverFailure."""
        self._undo(self._taken)

    def _undo(self, taken: ExitStack) -> None:
        if self._context.forked:
            taken.pop_all()  # the parent's
            return
        with self._context.entered():
            taken.close()

    def _map(self, taken: ExitStack, descriptor: int) -> None:
        driver, size = self._context.driver, self.byte_length
        handle = driver.get(Address, "cuMemImportFromShareableHandle", descriptor, HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
        try:
            self.address = driver.get(Address, "cuMemAddressReserve", size, 0, 0, 0)
            taken.callback(driver.call, "cuMemAddressFree", self.address, size)
            driver.call("cuMemMap", self.address, size, 0, handle, 0)
            taken.callback(driver.call, "cuMemUnmap", self.address, size)
        finally:
            driver.call("cuMemRelease", handle)  # the mapping keeps the memory
        location = Location(LOCATION_TYPE_DEVICE, self._context.device)
        requested = Access(location, ACCESS_READ)
        driver.call("cuMemSetAccess", self.address, size, ctypes.byref(requested), 1)
        self._require_read_only(driver, location)

    def _require_read_only(self, driver: Driver, location: Location) -> None:
        granted = driver.get(Flags, "cuMemGetAccess", ctypes.byref(location), self.address)
        if granted != ACCESS_READ:
            raise AccessRefused(f"the driver answered that the mapping's access is {granted}, not read-only")


class HostPages:
    """The emulated driver keeps its device memory in a memfd: the same pages, mapped for reading by the host."""

    def __init__(self, descriptor: int, byte_length: int) -> None:
        """Errors: AccessRefused."""
        if os.fstat(descriptor).st_size < byte_length:
            raise AccessRefused("the emulated memory is shorter than was said")
        library = ctypes.CDLL(None, use_errno=True)
        library.mmap.restype = ctypes.c_void_p
        library.mmap.argtypes = [ctypes.c_void_p, Size, Int, Int, Int, ctypes.c_long]
        library.munmap.argtypes = [ctypes.c_void_p, Size]
        self._library, self._byte_length = library, byte_length
        address = library.mmap(None, byte_length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
        if address is None or address == ctypes.c_void_p(-1).value:
            raise AccessRefused(f"the emulated memory could not be mapped: {os.strerror(ctypes.get_errno())}")
        self.address: int = address

    def close(self) -> None:
        self._library.munmap(self.address, self._byte_length)
