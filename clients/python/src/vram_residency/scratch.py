"""All resources of a guard for its lifetime: one device allocation, one pinned allocation, a stream and an event."""
from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import List, Optional, Tuple

from .context import Context
from .driver import EVENT_DISABLE_TIMING, OUT_OF_MEMORY, STREAM_NON_BLOCKING, Address, Handle
from .errors import DriverFailure, Unavailable
from .tree import BLOCK_BYTES, HASH_BYTES, HASHES_PER_BLOCK, blocks_of

MIB = 1 << 20
WINDOW_BLOCKS = 131_072  # 512 MiB of weights in one launch
STAGE_BLOCKS = 256  # 1 MiB of a misaligned tensor at a time
SLOTS = 128  # small tensors and tails hashed in one launch
KNOWN_BLOCKS = 134
LEVELS = 8
BOUNCE_BYTES = MIB

# One copy brings back the proof: the root of the roots, blocks and nodes hashed, the canary's last hash.
ROOT_OFFSET = 0
LEAF_COUNTER_OFFSET = HASH_BYTES
NODE_COUNTER_OFFSET = LEAF_COUNTER_OFFSET + 8
CANARY_OFFSET = NODE_COUNTER_OFFSET + 8
PROOF_BYTES = CANARY_OFFSET + HASH_BYTES

PINNED_CANARY = 0
PINNED_PROOF = BLOCK_BYTES
PINNED_BOUNCE = 2 * BLOCK_BYTES
PINNED_BYTES = PINNED_BOUNCE + BOUNCE_BYTES


@dataclass(frozen=True)
class Level:
    """Where the hashes of one level wait for the next. Holds one hash beyond `capacity`: the canary's."""

    offset: int
    capacity: int


@dataclass(frozen=True)
class Layout:
    """Offsets into the device allocation, for guards of so many ranges whose largest has so many blocks."""

    slots: int
    stage: int
    known: int
    roots: int
    roots_bytes: int
    levels: Tuple[Level, ...]
    byte_length: int

    @staticmethod
    def of(ranges: int, largest_blocks: int) -> Layout:
        at = 2 * BLOCK_BYTES  # proof and canary
        slots, at = at, at + SLOTS * BLOCK_BYTES
        stage, at = at, at + STAGE_BLOCKS * BLOCK_BYTES
        known, at = at, at + KNOWN_BLOCKS * BLOCK_BYTES
        roots_bytes = _padded((ranges + 1) * HASH_BYTES)
        roots, at = at, at + roots_bytes
        levels, at = _levels(at, max(largest_blocks, blocks_of(roots_bytes), KNOWN_BLOCKS))
        return Layout(slots, stage, known, roots, roots_bytes, levels, _padded(at))


def _levels(at: int, largest_blocks: int) -> Tuple[Tuple[Level, ...], int]:
    """
    Capacities are powers of two, each a 128th of the one below: a full level becomes hashes that fill the next one
    exactly, or a whole fraction of it, so that no group of 128 is ever cut.
    """
    capacity = HASHES_PER_BLOCK
    while capacity < min(WINDOW_BLOCKS, largest_blocks):
        capacity *= 2
    levels: List[Level] = []
    for _ in range(LEVELS):
        levels.append(Level(at, capacity))
        at += _padded((capacity + 1) * HASH_BYTES)
        capacity = max(HASHES_PER_BLOCK, capacity // HASHES_PER_BLOCK)
    return tuple(levels), at


def _padded(byte_length: int) -> int:
    return blocks_of(byte_length) * BLOCK_BYTES


def bytes_taken(layout: Layout) -> int:
    """Device and pinned memory together."""
    return layout.byte_length + PINNED_BYTES


class Scratch:
    """The memory, stream and event themselves. The context has to be current for both methods."""

    def __init__(self, context: Context, layout: Layout) -> None:
        """Errors: Unavailable, for example for too little GPU memory; nothing is left allocated then."""
        driver = context.driver
        self.layout = layout
        with ExitStack() as undo:
            try:
                self.device: int = driver.get(Address, "cuMemAlloc_v2", layout.byte_length)
                undo.callback(driver.call, "cuMemFree_v2", self.device)
                self.pinned: int = driver.get(Handle, "cuMemAllocHost_v2", PINNED_BYTES)
                undo.callback(driver.call, "cuMemFreeHost", self.pinned)
                self.stream: Optional[int] = driver.get(Handle, "cuStreamCreate", STREAM_NON_BLOCKING)
                undo.callback(driver.call, "cuStreamDestroy_v2", self.stream)
                self.event: Optional[int] = driver.get(Handle, "cuEventCreate", EVENT_DISABLE_TIMING)
                undo.callback(driver.call, "cuEventDestroy_v2", self.event)
            except DriverFailure as error:
                if error.result != OUT_OF_MEMORY:
                    raise
                raise Unavailable(f"too little GPU memory for a guard, which takes {bytes_taken(layout)} bytes") from error
            self._undo = undo.pop_all()

    def release(self) -> None:
        """Frees in reverse order, everything even if a part fails. Does nothing when repeated. Errors: DriverFailure."""
        self._undo.close()
