"""The driver's virtual memory: structures, numbers and signatures (CUDA driver API, "Virtual Memory Management")."""
from __future__ import annotations

import ctypes

from .driver import SIGNATURES, Address, Handle, Int, Out, Size

ALLOCATION_TYPE_PINNED = 1
LOCATION_TYPE_DEVICE = 1
HANDLE_TYPE_POSIX_FILE_DESCRIPTOR = 1
ACCESS_READ = 1
ACCESS_READ_WRITE = 3

Flags = ctypes.c_ulonglong


class Location(ctypes.Structure):
    _fields_ = [("type", Int), ("id", Int)]


class Access(ctypes.Structure):
    _fields_ = [("location", Location), ("flags", Int)]


class AllocationProperties(ctypes.Structure):
    _fields_ = [
        ("type", Int), ("requestedHandleTypes", Int), ("location", Location),
        ("win32HandleMetaData", Handle), ("allocFlags", ctypes.c_ubyte * 8),
    ]  # fmt: skip


SIGNATURES.update(
    {
        "cuMemGetAllocationGranularity": [Out(Size), Out(AllocationProperties), Int],
        "cuMemAddressReserve": [Out(Address), Size, Size, Address, Flags],
        "cuMemAddressFree": [Address, Size],
        "cuMemCreate": [Out(Address), Size, Out(AllocationProperties), Flags],
        "cuMemRelease": [Address],
        "cuMemMap": [Address, Size, Size, Address, Flags],
        "cuMemUnmap": [Address, Size],
        "cuMemSetAccess": [Address, Size, Out(Access), Size],
        "cuMemGetAccess": [Out(Flags), Out(Location), Address],
        "cuMemExportToShareableHandle": [Out(Int), Address, Int, Flags],
        "cuMemImportFromShareableHandle": [Out(Address), Handle, Int],
    }
)
