"""
The fs-verity tree on the host: SHA-256 over 4096-byte blocks, no salt. Linux, Documentation/filesystems/fsverity.rst,
sections "Merkle tree" and "fs-verity descriptor". A contiguous tensor's digest is that of `fsverity digest` for a file
of its bytes.
"""
from __future__ import annotations

import hashlib
import struct
from typing import List

BLOCK_BYTES = 4096
HASH_BYTES = 32
HASHES_PER_BLOCK = BLOCK_BYTES // HASH_BYTES
LOG2_BLOCK_BYTES = 12
DESCRIPTOR_BYTES = 256
SHA256_ALGORITHM = 1
EMPTY_ROOT = bytes(HASH_BYTES)
PREFIX = f"fsverity-sha256-{LOG2_BLOCK_BYTES}:"


def blocks_of(byte_length: int) -> int:
    """The number of blocks of this many bytes; the last one may be partial."""
    return -(-byte_length // BLOCK_BYTES)


def block_hash(block: bytes) -> bytes:
    """Of at most 4096 bytes, zero-padded."""
    return hashlib.sha256(block.ljust(BLOCK_BYTES, b"\0")).digest()


def level_above(data: bytes) -> bytes:
    """The packed hashes of all blocks of `data`."""
    return b"".join(block_hash(data[at : at + BLOCK_BYTES]) for at in range(0, len(data), BLOCK_BYTES))


def levels_above(blocks: int) -> int:
    """The number of levels between this many leaves and the root: 0 for one leaf."""
    levels = 0
    while blocks > 1:
        blocks = -(-blocks // HASHES_PER_BLOCK)
        levels += 1
    return levels


def root_of_leaves(leaves: bytes) -> bytes:
    """The root over packed leaf hashes; all zeros if there are none."""
    while len(leaves) > HASH_BYTES:
        leaves = level_above(leaves)
    return leaves or EMPTY_ROOT


def root_of(data: bytes) -> bytes:
    return root_of_leaves(level_above(data))


def root_of_roots(roots: List[bytes]) -> bytes:
    """
    One hash over many roots, by the tree's own levels; a single root is hashed too. A clean verification reads this
    back.
    """
    return root_of_leaves(level_above(b"".join(roots)))


def digest_of_root(root: bytes, byte_length: int) -> str:
    """`fsverity-sha256-12:` and 64 hex digits: SHA-256 of the descriptor, which holds root and length."""
    descriptor = struct.pack("<BBBBIQ", 1, SHA256_ALGORITHM, LOG2_BLOCK_BYTES, 0, 0, byte_length) + root
    return PREFIX + hashlib.sha256(descriptor.ljust(DESCRIPTOR_BYTES, b"\0")).hexdigest()


def digest_of(data: bytes) -> str:
    return digest_of_root(root_of(data), len(data))
