"""Compares a run with the baseline. A mismatch is measured twice before it counts as damage."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, List

from .baseline import Baseline
from .errors import WrongHash
from .hasher import Hasher
from .report import MAX_FINDINGS, Finding
from .tree import HASH_BYTES, root_of_leaves, root_of_roots


@dataclass
class Comparison:
    """`findings` holds the first of the damaged blocks; `transient` the tensors whose mismatch did not repeat."""

    findings: List[Finding] = field(default_factory=list)
    damaged_blocks: int = 0
    transient: List[str] = field(default_factory=list)


def compare(hasher: Hasher, baseline: Baseline, require_unchanged: Callable[[], None]) -> Comparison:
    """
    Hashes what the baseline covers. `require_unchanged` is called after each measurement and raises if somebody changed the
    tensors meanwhile. Errors: WrongHash, and its own.
    """
    result = Comparison()
    if not baseline.cover:
        return result
    combined = hasher.run([baseline.ranges[position] for position in baseline.cover])
    require_unchanged()
    if combined == baseline.expected:
        return result
    roots = hasher.roots(len(baseline.cover))
    if root_of_roots(roots) != combined:
        raise WrongHash("the GPU contradicts itself: roots do not hash to the root of all; nothing was verified")
    suspects = [position for position, root in zip(baseline.cover, roots) if root != baseline.roots[position]]
    _measure_again(hasher, baseline, suspects, result)
    require_unchanged()
    return result


def _measure_again(hasher: Hasher, baseline: Baseline, suspects: List[int], result: Comparison) -> None:
    ranges = [baseline.ranges[position] for position in suspects]
    read: List[bytearray] = [bytearray(r.blocks * HASH_BYTES) for r in ranges]

    def collect(index: int, first: int, leaves: bytes) -> None:
        read[index][first * HASH_BYTES : first * HASH_BYTES + len(leaves)] = leaves

    hasher.run(ranges, None if baseline.leaves is None else collect)
    for index, root in enumerate(hasher.roots(len(ranges))):
        position = suspects[index]
        if root == baseline.roots[position]:
            result.transient.append(ranges[index].tensors[0].name)
        elif ranges[index].blocks == 1 and baseline.leaves is not None:
            _add(result, baseline, position, [0])
        elif baseline.leaves is None:
            _add(result, baseline, position, [])
        elif root_of_leaves(bytes(read[index])) != root:
            raise WrongHash("block hashes of a damaged tensor do not hash to its root: the GPU contradicts itself")
        else:
            _add(result, baseline, position, baseline.damaged_blocks(position, bytes(read[index])))


def _add(result: Comparison, baseline: Baseline, position: int, blocks: List[int]) -> None:
    room = max(0, MAX_FINDINGS - len(result.findings))
    result.damaged_blocks += len(blocks)
    if blocks:
        result.findings += [baseline.finding(position, block) for block in blocks[:room]]
    elif room > 0:
        result.findings.append(baseline.finding(position, None))
