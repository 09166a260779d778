"""DLPack, both of its forms: https://dmlc.github.io/dlpack/latest/c_api.html."""
from __future__ import annotations

import ctypes
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

from .dtypes import Dtype

CPU, CUDA = 1, 2
FLAG_READ_ONLY = 1
VERSION = (1, 0)


class Device(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("id", ctypes.c_int)]


class DataType(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p), ("device", Device), ("ndim", ctypes.c_int32), ("dtype", DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]  # fmt: skip


Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Managed(ctypes.Structure):
    _fields_ = [("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", Deleter)]


class ManagedVersioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p), ("deleter", Deleter),
        ("flags", ctypes.c_uint64), ("tensor", Tensor),
    ]  # fmt: skip


_new = ctypes.pythonapi.PyCapsule_New
_new.restype, _new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.restype, _is_valid.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]
# In a destructor the capsule is being freed and must not become a Python object again.
_valid_at = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_pointer_at = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)

# Keeps the structures and the memory alive until the consumer calls the deleter.
_alive: Dict[int, Tuple[Any, Callable[[], None]]] = {}

UNVERSIONED_NAME, VERSIONED_NAME = b"dltensor", b"dltensor_versioned"


def export(
    address: int,
    device: Tuple[int, int],
    dtype: Dtype,
    shape: Sequence[int],
    versioned: bool,
    release: Callable[[], None],
) -> Any:
    """A capsule over read-only memory. `release` is called once, when the memory is no longer used through it."""
    sizes = (ctypes.c_int64 * len(shape))(*shape)
    tensor = Tensor(
        address, Device(*device), len(shape), DataType(dtype.code, dtype.bits, 1), sizes, _strides(shape), 0
    )
    managed: Any
    if versioned:
        managed = ManagedVersioned(*VERSION, None, _deleter, FLAG_READ_ONLY, tensor)
    else:
        managed = Managed(tensor, None, _deleter)
    pointer = ctypes.addressof(managed)
    _alive[pointer] = ((managed, sizes, tensor.strides), release)
    name = VERSIONED_NAME if versioned else UNVERSIONED_NAME
    return _new(pointer, name, ctypes.cast(_destructor, ctypes.c_void_p))


def _strides(shape: Sequence[int]) -> Any:
    """In elements, rows first: consumers before DLPack 1.2 may expect them."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return (ctypes.c_int64 * len(shape))(*reversed(strides))


def _delete(pointer: Optional[int]) -> None:
    _, release = _alive.pop(pointer or 0, (None, lambda: None))
    release()


def _destroy(capsule: Optional[int]) -> None:
    """A capsule without a consumer: a consumer would have renamed it, and calls the deleter itself."""
    for name in (UNVERSIONED_NAME, VERSIONED_NAME):
        if _valid_at(capsule, name):
            _delete(_pointer_at(capsule, name))


_deleter = Deleter(_delete)
# PYFUNCTYPE: called with the interpreter's lock held.
_destructor = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(_destroy)
