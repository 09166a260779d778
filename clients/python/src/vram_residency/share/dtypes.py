"""Types of tensors as the manifest, DLPack and the CUDA array interface name them."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Sequence

from ..errors import InvalidInput

# Type codes of DLPack 1.1.
INT, UINT, FLOAT, BFLOAT, COMPLEX, BOOL = 0, 1, 2, 4, 5, 6
FLOAT8_E4M3FN, FLOAT8_E5M2, FLOAT8_E8M0FNU = 10, 12, 14


@dataclass(frozen=True)
class Dtype:
    """`typestr` is numpy's; None where numpy has no such type."""

    code: int
    bits: int
    typestr: Optional[str]


DTYPES: Dict[str, Dtype] = {
    "BOOL": Dtype(BOOL, 8, "|b1"), "U8": Dtype(UINT, 8, "|u1"), "I8": Dtype(INT, 8, "|i1"),
    "U16": Dtype(UINT, 16, "<u2"), "I16": Dtype(INT, 16, "<i2"), "U32": Dtype(UINT, 32, "<u4"),
    "I32": Dtype(INT, 32, "<i4"), "U64": Dtype(UINT, 64, "<u8"), "I64": Dtype(INT, 64, "<i8"),
    "F16": Dtype(FLOAT, 16, "<f2"), "F32": Dtype(FLOAT, 32, "<f4"), "F64": Dtype(FLOAT, 64, "<f8"),
    "C64": Dtype(COMPLEX, 64, "<c8"), "BF16": Dtype(BFLOAT, 16, None),
    "F8_E4M3": Dtype(FLOAT8_E4M3FN, 8, None), "F8_E5M2": Dtype(FLOAT8_E5M2, 8, None),
    "F8_E8M0": Dtype(FLOAT8_E8M0FNU, 8, None),
}  # fmt: skip


def dtype_of(name: str) -> Dtype:
    """Errors: InvalidInput for a type that no array library has."""
    dtype = DTYPES.get(name)
    if dtype is None:
        raise InvalidInput(f"the type {name} has no counterpart in DLPack: take the tensor's `raw` bytes")
    return dtype


def byte_length_of(name: str, shape: Sequence[int]) -> int:
    """Errors: InvalidInput for a type whose elements have no size in whole bytes."""
    count = 1
    for size in shape:
        count *= size
    return count * dtype_of(name).bits // 8
