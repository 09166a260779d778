"""The baseline of later runs, on the host: roots, and the hashes of all blocks if they are kept."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from .errors import WrongHash
from .hasher import Hasher
from .manifest import Entry
from .ranges import Range, covering
from .report import Finding
from .tensors import TensorState
from .tree import BLOCK_BYTES, EMPTY_ROOT, HASH_BYTES, digest_of_root, root_of_leaves, root_of_roots

Key = Tuple[int, int]


def leaf_bytes_of(ranges: Sequence[Range]) -> int:
    """Of a leaf store; a range of one block needs none, its root is its leaf."""
    return sum(r.blocks * HASH_BYTES for r in ranges if r.blocks > 1)


class LeafStore:
    """Block hashes of all ranges, in memory that is allocated once."""

    def __init__(self, byte_length: int) -> None:
        self._bytes = bytearray(byte_length)
        self._offsets: List[int] = []

    def arrange(self, ranges: Sequence[Range]) -> bool:
        """Divides the memory among these ranges; False if they need more."""
        self._offsets, at = [], 0
        for r in ranges:
            self._offsets.append(at)
            at += leaf_bytes_of([r])
        return at <= len(self._bytes)

    def put(self, position: int, first: int, leaves: bytes) -> None:
        at = self._offsets[position] + first * HASH_BYTES
        self._bytes[at : at + len(leaves)] = leaves

    def of(self, position: int, blocks: int) -> bytes:
        at = self._offsets[position]
        return bytes(self._bytes[at : at + blocks * HASH_BYTES])


@dataclass(frozen=True)
class Baseline:
    """A measurement. `cover`: positions of the ranges that verify() hashes; `expected`: the one root over theirs."""

    states: Tuple[TensorState, ...]
    ranges: Tuple[Range, ...]
    roots: Tuple[bytes, ...]
    leaves: Optional[LeafStore]
    cover: Tuple[int, ...]
    expected: bytes

    @staticmethod
    def measure(
        hasher: Hasher, states: Sequence[TensorState], ranges: Sequence[Range], leaves: Optional[LeafStore]
    ) -> Baseline:
        """Hashes every range once. Leaves count only if they hash up to the root. Errors: WrongHash."""
        roots: List[bytes] = []
        if ranges:
            combined = hasher.run(ranges, None if leaves is None else leaves.put)
            roots = hasher.roots(len(ranges))
            if root_of_roots(roots) != combined:
                raise WrongHash("the GPU contradicts itself: roots do not hash to the root of all; nothing was measured")
        for position, r in enumerate(ranges):
            if leaves is None or r.blocks == 1:
                continue
            if root_of_leaves(leaves.of(position, r.blocks)) != roots[position]:
                raise WrongHash(f"the block hashes of {r.tensors[0].name} do not hash to its root; nothing was measured")
        cover = covering(ranges)
        expected = root_of_roots([roots[position] for position in cover]) if cover else EMPTY_ROOT
        return Baseline(tuple(states), tuple(ranges), tuple(roots), leaves, tuple(cover), expected)

    def entries(self) -> List[Entry]:
        """One for each tensor, in the order given."""
        roots: Dict[Key, bytes] = {(r.address, r.byte_length): root for r, root in zip(self.ranges, self.roots)}
        return [
            Entry(s.name, s.dtype, s.shape, s.byte_length, digest_of_root(roots.get(_key(s), EMPTY_ROOT), s.byte_length))
            for s in self.states
        ]

    def damaged_blocks(self, position: int, leaves: bytes) -> List[int]:
        """Numbers of the blocks of a range whose hashes differ from the stored ones."""
        if self.leaves is None:
            return []
        blocks = self.ranges[position].blocks
        kept = self.leaves.of(position, blocks)
        bounds = ((block, block * HASH_BYTES, (block + 1) * HASH_BYTES) for block in range(blocks))
        return [block for block, begin, end in bounds if kept[begin:end] != leaves[begin:end]]

    def finding(self, position: int, block: Optional[int]) -> Finding:
        """Names the tensor and every other one that shares some of these bytes."""
        r = self.ranges[position]
        tensor = r.tensors[0]
        begin = r.address + (block or 0) * BLOCK_BYTES
        end = r.end if block is None else min(r.end, begin + BLOCK_BYTES)
        also = tuple(s.name for s in self.states if s is not tensor and s.address < end and s.end > begin)
        if block is None:
            return Finding(tensor.name, None, None, None, also)
        elements = None
        if tensor.item_bytes is not None:
            elements = ((begin - r.address) // tensor.item_bytes, (end - r.address - 1) // tensor.item_bytes)
        return Finding(tensor.name, block, begin - r.address, elements, also)


def _key(state: TensorState) -> Key:
    return state.address, state.byte_length
