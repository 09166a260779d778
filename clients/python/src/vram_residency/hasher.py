"""
One run of the kernels over ranges of device memory, and the proof that it took place: scratch holds a fresh random
pattern first, the device counts the blocks and nodes that it hashes, and a fresh random canary block is hashed in every
launch, its hash going back into it, so that the last one depends on every launch in order. All of it is checked on the
host.
"""
from __future__ import annotations

import ctypes
import hashlib
import os
from typing import Callable, List, Optional, Sequence, Tuple

from .context import Context
from .errors import DriverFailure, WrongHash
from .kernels import Kernels
from .ranges import Range
from .scratch import (
    BOUNCE_BYTES,
    CANARY_OFFSET,
    LEAF_COUNTER_OFFSET,
    NODE_COUNTER_OFFSET,
    PINNED_BOUNCE,
    PINNED_CANARY,
    PINNED_PROOF,
    PROOF_BYTES,
    ROOT_OFFSET,
    SLOTS,
    STAGE_BLOCKS,
    Scratch,
)
from .tree import BLOCK_BYTES, HASH_BYTES, HASHES_PER_BLOCK, levels_above

ALIGNMENT = 16  # of what the kernels load
COUNTERS_BYTES = CANARY_OFFSET - LEAF_COUNTER_OFFSET

# Position of the range among those of the run, number of the first leaf, packed leaves.
LeafSink = Callable[[int, int, bytes], None]


class Hasher:
    """Runs in the guard's own stream. The context has to be current for every method."""

    def __init__(self, context: Context, scratch: Scratch, kernels: Kernels) -> None:
        self._driver = context.driver
        self._scratch = scratch
        self._kernels = kernels
        self._stream = scratch.stream
        self._canary = scratch.device + CANARY_OFFSET
        self._sink: Optional[LeafSink] = None
        self._range = 0
        self._waiting: List[int] = []
        self._pattern = b""
        self._launches = self._leaves_asked = self._nodes_asked = 0
        self.readback_bytes = 0  # since the guard was built
        self.leaves_hashed = 0

    def run(self, ranges: Sequence[Range], sink: Optional[LeafSink] = None) -> bytes:
        """
        The root of the ranges' roots (tree.root_of_roots), in their order: those of one block first. `sink` gets the
        leaves of every range of more than one block. Errors: WrongHash if anything of the run's proof is off,
        DriverFailure.
        """
        if not ranges:
            raise ValueError("a run needs a range")
        self._sink = sink
        try:
            canary, pattern = self._prepare()
            small = sum(1 for r in ranges if r.blocks == 1)
            self._hash_small(ranges[:small])
            for position in range(small, len(ranges)):
                self._hash_large(position, ranges[position])
            self._hash_roots(len(ranges))
            self._read(PINNED_PROOF, self._scratch.device + ROOT_OFFSET, PROOF_BYTES)
            return self._prove(self._pinned(PINNED_PROOF, PROOF_BYTES), canary, pattern)
        except BaseException:
            self._settle()
            raise
        finally:
            self._sink = None

    def roots(self, count: int) -> List[bytes]:
        """The roots of the last run, one for each range. Errors: WrongHash if one was never written, DriverFailure."""
        packed = self._fetch(self._scratch.device + self._scratch.layout.roots, count * HASH_BYTES)
        roots = [packed[at : at + HASH_BYTES] for at in range(0, len(packed), HASH_BYTES)]
        if self._pattern * (HASH_BYTES // 4) in roots:
            raise _did_not_run("the root of a tensor was not written")
        return roots

    def upload(self, address: int, data: bytes) -> None:
        """To scratch, for known answers; at most a megabyte at a time goes through pinned memory."""
        for at in range(0, len(data), BOUNCE_BYTES):
            piece = data[at : at + BOUNCE_BYTES]
            ctypes.memmove(self._scratch.pinned + PINNED_BOUNCE, piece, len(piece))
            source = self._scratch.pinned + PINNED_BOUNCE
            self._driver.call("cuMemcpyHtoDAsync_v2", address + at, source, len(piece), self._stream)
            self._driver.call("cuStreamSynchronize", self._stream)

    def _prepare(self) -> Tuple[bytes, bytes]:
        scratch, call = self._scratch, self._driver.call
        canary, self._pattern = os.urandom(BLOCK_BYTES), os.urandom(4)
        word = int.from_bytes(self._pattern, "little")
        self._launches = self._leaves_asked = self._nodes_asked = 0
        ctypes.memmove(scratch.pinned + PINNED_CANARY, canary, BLOCK_BYTES)
        call("cuMemcpyHtoDAsync_v2", self._canary, scratch.pinned + PINNED_CANARY, BLOCK_BYTES, self._stream)
        call("cuMemsetD32Async", scratch.device + ROOT_OFFSET, word, HASH_BYTES // 4, self._stream)
        call("cuMemsetD8Async", scratch.device + LEAF_COUNTER_OFFSET, 0, COUNTERS_BYTES, self._stream)
        begin, end = scratch.layout.roots, scratch.layout.byte_length  # roots and all levels
        call("cuMemsetD32Async", scratch.device + begin, word, (end - begin) // 4, self._stream)
        return canary, self._pattern

    def _hash_small(self, ranges: Sequence[Range]) -> None:
        """Ranges of one block: gathered into zeroed slots, so that a launch serves many; their leaves are their roots."""
        scratch = self._scratch
        for first in range(0, len(ranges), SLOTS):
            batch = ranges[first : first + SLOTS]
            self._to_slots(batch)
            out = scratch.device + scratch.layout.roots + first * HASH_BYTES
            self._launch_leaves(scratch.device + scratch.layout.slots, len(batch), out)

    def _to_slots(self, ranges: Sequence[Range]) -> None:
        slots = self._scratch.device + self._scratch.layout.slots
        self._driver.call("cuMemsetD8Async", slots, 0, len(ranges) * BLOCK_BYTES, self._stream)
        for index, piece in enumerate(ranges):
            self._copy(slots + index * BLOCK_BYTES, piece.address, piece.byte_length)

    def _hash_large(self, position: int, whole: Range) -> None:
        """
        The tree of one range, in windows. A partial last block goes through a zeroed slot, misaligned memory through a
        stage.
        """
        scratch, full = self._scratch, whole.byte_length // BLOCK_BYTES
        levels = levels_above(whole.blocks)
        self._range, self._waiting = position, [0] * (levels + 1)
        capacity = scratch.layout.levels[0].capacity
        stage = None if whole.address % ALIGNMENT == 0 else scratch.device + scratch.layout.stage
        done = 0
        while done < full:
            count = min(capacity - self._waiting[0], full - done)
            source = whole.address + done * BLOCK_BYTES
            if stage is not None:
                count = min(count, STAGE_BLOCKS)
                self._copy(stage, source, count * BLOCK_BYTES)
                source = stage
            self._grow_leaves(source, count, done)
            done += count
        if full < whole.blocks:
            tail = full * BLOCK_BYTES
            self._to_slots([Range(whole.address + tail, whole.byte_length - tail, ())])
            self._grow_leaves(scratch.device + scratch.layout.slots, 1, full)
        for level in range(levels):
            self._flush(level)
        root = scratch.device + scratch.layout.roots + position * HASH_BYTES
        self._copy(root, self._level(levels), HASH_BYTES)

    def _grow_leaves(self, source: int, count: int, first: int) -> None:
        out = self._level(0) + self._waiting[0] * HASH_BYTES
        self._launch_leaves(source, count, out)
        if self._sink is not None:
            self._sink(self._range, first, self._fetch(out, count * HASH_BYTES))
        self._grow(0, count)

    def _grow(self, level: int, count: int) -> None:
        self._waiting[level] += count
        full = self._waiting[level] == self._scratch.layout.levels[level].capacity
        if full and level + 1 < len(self._waiting):
            self._flush(level)

    def _flush(self, level: int) -> None:
        """Hashes the pending hashes of a level into the level above."""
        count = self._waiting[level]
        if count == 0:
            return
        self._waiting[level] = 0
        self._launch_nodes(self._level(level), count, self._level(level + 1) + self._waiting[level + 1] * HASH_BYTES)
        self._grow(level + 1, -(-count // HASHES_PER_BLOCK))

    def _hash_roots(self, count: int) -> None:
        """All roots into one: at least one level, as tree.root_of_roots does."""
        source, target = self._scratch.device + self._scratch.layout.roots, 0
        while True:
            self._launch_nodes(source, count, self._level(target))
            source, target, count = self._level(target), 1 - target, -(-count // HASHES_PER_BLOCK)
            if count == 1:
                break
        self._copy(self._scratch.device + ROOT_OFFSET, source, HASH_BYTES)

    def _launch_leaves(self, source: int, count: int, out: int) -> None:
        counter = self._scratch.device + LEAF_COUNTER_OFFSET
        self._kernels.leaves(source, count, self._canary, out, counter)
        self._chain(out + count * HASH_BYTES)
        self._leaves_asked += count

    def _launch_nodes(self, source: int, count: int, out: int) -> None:
        counter, nodes = self._scratch.device + NODE_COUNTER_OFFSET, -(-count // HASHES_PER_BLOCK)
        self._kernels.nodes(source, count, self._canary, out, counter)
        self._chain(out + nodes * HASH_BYTES)
        self._nodes_asked += nodes

    def _chain(self, canary_hash: int) -> None:
        self._copy(self._canary, canary_hash, HASH_BYTES)
        self._launches += 1

    def _prove(self, proof: bytes, canary: bytes, pattern: bytes) -> bytes:
        leaves = int.from_bytes(proof[LEAF_COUNTER_OFFSET:NODE_COUNTER_OFFSET], "little")
        nodes = int.from_bytes(proof[NODE_COUNTER_OFFSET:CANARY_OFFSET], "little")
        if leaves != self._leaves_asked:
            raise _did_not_run(f"{leaves} of {self._leaves_asked} blocks were hashed")
        if nodes != self._nodes_asked:
            raise _did_not_run(f"{nodes} of {self._nodes_asked} nodes were hashed")
        head, rest = canary[:HASH_BYTES], canary[HASH_BYTES:]
        for _ in range(self._launches):
            head = hashlib.sha256(head + rest).digest()
        if proof[CANARY_OFFSET:] != head:
            raise _did_not_run("the canary block was not hashed")
        root = proof[ROOT_OFFSET:LEAF_COUNTER_OFFSET]
        if root == pattern * (HASH_BYTES // 4):
            raise _did_not_run("its result was not written")
        self.leaves_hashed += leaves
        return root

    def _level(self, level: int) -> int:
        return self._scratch.device + self._scratch.layout.levels[level].offset

    def _copy(self, target: int, source: int, byte_length: int) -> None:
        self._driver.call("cuMemcpyDtoDAsync_v2", target, source, byte_length, self._stream)

    def _read(self, pinned_offset: int, source: int, byte_length: int) -> None:
        target = self._scratch.pinned + pinned_offset
        self._driver.call("cuMemcpyDtoHAsync_v2", target, source, byte_length, self._stream)
        self._driver.call("cuStreamSynchronize", self._stream)
        self.readback_bytes += byte_length

    def _fetch(self, source: int, byte_length: int) -> bytes:
        pieces = []
        for at in range(0, byte_length, BOUNCE_BYTES):
            length = min(BOUNCE_BYTES, byte_length - at)
            self._read(PINNED_BOUNCE, source + at, length)
            pieces.append(self._pinned(PINNED_BOUNCE, length))
        return b"".join(pieces)

    def _pinned(self, offset: int, byte_length: int) -> bytes:
        return ctypes.string_at(self._scratch.pinned + offset, byte_length)

    def _settle(self) -> None:
        """After an exception nothing may still read tensors that the engine could free; the exception is what counts."""
        try:
            self._driver.call("cuStreamSynchronize", self._stream)
        except DriverFailure:
            pass  # a sticky error of the context: no work is left then


def _did_not_run(what: str) -> WrongHash:
    return WrongHash(f"the GPU did not carry out the run: {what}; nothing was verified")
