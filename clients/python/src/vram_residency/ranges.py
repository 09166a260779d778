"""
From tensors to the byte ranges that are hashed: each once, whatever shares it, and only if the driver says it is
mapped.
"""
from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from .driver import (
    NOT_FOUND,
    POINTER_ATTRIBUTE_ACCESS_FLAGS,
    POINTER_ATTRIBUTE_DEVICE_ORDINAL,
    SUCCESS,
    Address,
    Driver,
    Int,
    Size,
)
from .tensors import TensorState
from .tree import BLOCK_BYTES, blocks_of


@dataclass(frozen=True)
class Range:
    """Device bytes that are hashed as one sequence, and the tensors that consist of exactly these."""

    address: int
    byte_length: int
    tensors: Tuple[TensorState, ...]

    @property
    def end(self) -> int:
        return self.address + self.byte_length

    @property
    def blocks(self) -> int:
        return blocks_of(self.byte_length)


def ranges_of(states: Sequence[TensorState]) -> List[Range]:
    """Tied weights are one range, empty tensors none. Ranges of one block come first, for the hasher; then by address."""
    members: Dict[Tuple[int, int], List[TensorState]] = {}
    for state in states:
        if state.byte_length > 0:
            members.setdefault((state.address, state.byte_length), []).append(state)
    ranges = [Range(address, length, tuple(tensors)) for (address, length), tensors in members.items()]
    return sorted(ranges, key=lambda r: (r.byte_length > BLOCK_BYTES, r.address, r.byte_length))


def covering(ranges: Sequence[Range]) -> List[int]:
    """Positions of the ranges that are not inside another one. They cover every guarded byte, and shared storage once."""
    by_address = sorted(range(len(ranges)), key=lambda i: (ranges[i].address, -ranges[i].byte_length))
    outer, reached = [], 0
    for position in by_address:
        if ranges[position].end > reached:
            outer.append(position)
            reached = ranges[position].end
    return sorted(outer)


def unreadable(driver: Driver, device: int, states: Sequence[TensorState]) -> List[TensorState]:
    """
    Tensors of which a part is not mapped for this device: a kernel that reads them would end the engine's context. A
    few driver calls for each allocation, not for each tensor. The context has to be current. Errors: DriverFailure.
    """
    found: List[TensorState] = []
    known_end = 0  # everything checked so far is mapped up to here, without a gap from the last tensor on
    for state in sorted(states, key=lambda s: s.address):
        at = max(state.address, known_end)
        while at < state.end:
            end = _mapped_end(driver, device, at)
            if end is None:
                found.append(state)
                break
            at = known_end = end
    return found


def _mapped_end(driver: Driver, device: int, address: int) -> Optional[int]:
    """The end of the mapped memory around an address, if this device may read there."""
    begin, length = Address(), Size()
    result = driver.result("cuMemGetAddressRange_v2", ctypes.byref(begin), ctypes.byref(length), address)
    if result == NOT_FOUND:
        return None
    if result != SUCCESS:
        raise driver.failure("cuMemGetAddressRange_v2", result)
    ordinal, access = Int(), Int()
    driver.call("cuPointerGetAttribute", ctypes.byref(ordinal), POINTER_ATTRIBUTE_DEVICE_ORDINAL, address)
    driver.call("cuPointerGetAttribute", ctypes.byref(access), POINTER_ATTRIBUTE_ACCESS_FLAGS, address)
    end = begin.value + length.value
    return end if end > address and ordinal.value == device and access.value != 0 else None
