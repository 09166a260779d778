"""The host's tree against the answers of the `fsverity` program, which are in the repository."""
from __future__ import annotations

import json
import struct
import unittest

from vram_residency import tree

from .emulator import REPOSITORY


def xorshift(seed: int, byte_length: int) -> bytes:
    state, words = seed, []
    for _ in range(-(-byte_length // 4)):
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        words.append(state)
    return struct.pack(f"<{len(words)}I", *words)[:byte_length]


class TreeTest(unittest.TestCase):
    def test_digests_are_those_of_the_fsverity_program(self) -> None:
        vectors = json.loads((REPOSITORY / "test/vectors/fsverity.json").read_text())
        cases = [case for case in vectors["cases"] if case["size"] <= 1 << 20]
        self.assertGreater(len(cases), 10)
        for case in cases:
            with self.subTest(size=case["size"]):
                data = xorshift(case["seed"], case["size"])
                self.assertEqual(tree.digest_of(data), tree.PREFIX + case["fsverity"])

    def test_levels_and_roots_of_roots(self) -> None:
        self.assertEqual([tree.levels_above(n) for n in (1, 2, 128, 129, 16384, 16385)], [0, 1, 1, 2, 2, 3])
        roots = [bytes([n]) * 32 for n in range(200)]
        upper = tree.block_hash(b"".join(roots[:128])) + tree.block_hash(b"".join(roots[128:]))
        self.assertEqual(tree.root_of_roots(roots), tree.block_hash(upper))
        self.assertEqual(tree.root_of_roots(roots[:1]), tree.block_hash(roots[0]))
