"""A lent tensor: its name, type and shape, and the protocols by which array libraries import it."""
from __future__ import annotations

import ctypes
import weakref
from typing import Any, Dict, Optional, Tuple

from ..errors import InvalidInput
from . import dlpack
from .dtypes import DTYPES, Dtype, dtype_of
from .mapping import Mapping
from .packed import PackedTensor


class LentTensor:
    """
    Memory of the worker's, readable here, never writable: a write ends in an illegal access, which voids this process's CUDA
    context, not in a changed weight. Whatever is taken from it keeps the mapping alive.
    """

    def __init__(self, packed: PackedTensor, mapping: Mapping, device: int) -> None:
        self.name = packed.name
        self.dtype = packed.dtype
        self.shape: Tuple[int, ...] = packed.shape
        self.nbytes = packed.byte_length
        self._offset = packed.offset
        self._mapping = mapping
        self._device = device

    def __repr__(self) -> str:
        return f"LentTensor({self.name!r}, {self.dtype}, {list(self.shape)})"

    @property
    def raw(self) -> LentTensor:
        """The same bytes as a flat U8 tensor: for types that array libraries do not have."""
        packed = PackedTensor(self.name, "U8", (self.nbytes,), self._offset, self.nbytes)
        return LentTensor(packed, self._mapping, self._device)

    def __dlpack_device__(self) -> Tuple[int, int]:
        return (dlpack.CPU, 0) if self._mapping.host is not None else (dlpack.CUDA, self._device)

    def __dlpack__(
        self,
        *,
        stream: Optional[int] = None,
        max_version: Optional[Tuple[int, int]] = None,
        dl_device: Optional[Tuple[int, int]] = None,
        copy: Optional[bool] = None,
    ) -> Any:
        """
        The read-only flag is set where the consumer takes DLPack 1.0; older ones have no such flag. `stream` needs no wait:
        the bytes were there before the lease. Errors: InvalidInput, BufferError for another device or a copy.
        """
        if copy is True:
            raise BufferError("lent tensors are not copied: copy what the array library made of it")
        if dl_device is not None and tuple(dl_device) != self.__dlpack_device__():
            raise BufferError("lent tensors stay on their device")
        versioned = max_version is not None and tuple(max_version) >= dlpack.VERSION
        dtype = dtype_of(self.dtype)
        release = self._mapping.users.take()
        return dlpack.export(self._address, self.__dlpack_device__(), dtype, self.shape, versioned, release)

    @property
    def __cuda_array_interface__(self) -> Dict[str, Any]:
        """Version 3, read-only. Its holder must keep this object. Errors: AttributeError where it cannot be said."""
        known: Optional[Dtype] = DTYPES.get(self.dtype)
        if self._mapping.host is not None:
            raise AttributeError("the memory is not in a GPU: the driver is emulated")
        if known is None or known.typestr is None:
            raise AttributeError(f"numpy has no type {self.dtype}: use DLPack")
        return {
            "shape": self.shape, "typestr": known.typestr, "data": (self._address, True), "version": 3,
            "strides": None, "stream": None,
        }  # fmt: skip

    def buffer(self) -> memoryview:
        """The bytes as a read-only buffer, only under the emulated driver. Errors: InvalidInput on a GPU."""
        if self._mapping.host is None:
            raise InvalidInput("the memory is in a GPU: take it by DLPack")
        view = (ctypes.c_ubyte * self.nbytes).from_address(self._address)
        # The array object lives until its last view is gone.
        weakref.finalize(view, self._mapping.users.take()).atexit = False
        return memoryview(view).cast("B").toreadonly()

    @property
    def _address(self) -> int:
        base = self._mapping.address if self._mapping.host is None else self._mapping.host.address
        return base + self._offset
