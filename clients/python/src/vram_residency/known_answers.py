"""Checks that this GPU, driver and PTX hash as hashlib does, over fresh random bytes in the guard's own scratch."""
from __future__ import annotations

import os

from .errors import WrongHash
from .hasher import Hasher
from .ranges import Range
from .scratch import KNOWN_BLOCKS, Scratch
from .tree import BLOCK_BYTES, root_of, root_of_roots

# Offset and length: a part of a block; four misaligned blocks; 134 blocks with a partial one, which is two levels of nodes.
CASES = ((16, 100), (BLOCK_BYTES + 2, 3 * BLOCK_BYTES + 5), (0, (KNOWN_BLOCKS - 1) * BLOCK_BYTES + 7))


def require_known_answers(hasher: Hasher, scratch: Scratch) -> None:
    """Errors: WrongHash if a root is wrong, or does not change with one bit."""
    base = scratch.device + scratch.layout.known
    data = bytearray(os.urandom(KNOWN_BLOCKS * BLOCK_BYTES))
    ranges = [Range(base + offset, length, ()) for offset, length in CASES]
    for changed in (False, True):
        if changed:
            data[20] ^= 0x40  # in the first case and the last
        hasher.upload(base, bytes(data))
        combined = hasher.run(ranges)
        expected = [root_of(bytes(data[offset : offset + length])) for offset, length in CASES]
        if hasher.roots(len(ranges)) != expected or combined != root_of_roots(expected):
            raise WrongHash("the GPU hashes known bytes wrongly: nothing can be verified with this GPU, driver or PTX")
