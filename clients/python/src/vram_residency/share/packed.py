"""The manifest of a lent shard: checked against its seal and against the mapping before a single byte is used."""
from __future__ import annotations

import fcntl
import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from ..errors import InvalidInput
from .dtypes import byte_length_of
from .errors import ManifestMismatch

BLOCK_BYTES = 4096
MAX_MANIFEST_BYTES = 1 << 30
MAX_TENSORS = 1_048_576
MAX_DIMENSIONS = 64
MAX_NAME_BYTES = 65_536
KEYS = {"name", "dtype", "shape", "offset", "byteLength", "file", "fileOffset"}

F_GET_SEALS = 1034
# Nothing can shrink, grow or write it any more, so the bytes that are checked are the bytes that are read.
NEEDED_SEALS = 0x2 | 0x4 | 0x8


@dataclass(frozen=True)
class PackedTensor:
    """One tensor of a shard; `offset` is in bytes from the shard's first."""

    name: str
    dtype: str
    shape: Tuple[int, ...]
    offset: int
    byte_length: int


def read_sealed(descriptor: int) -> bytes:
    """The bytes of a memfd that cannot change any more. Errors: ManifestMismatch."""
    try:
        seals = fcntl.fcntl(descriptor, F_GET_SEALS)
        length = os.fstat(descriptor).st_size
    except OSError as error:
        raise ManifestMismatch("the manifest did not come in a memfd") from error
    if seals & NEEDED_SEALS != NEEDED_SEALS:
        raise ManifestMismatch("the manifest came in memory that can still change")
    if length > MAX_MANIFEST_BYTES:
        raise ManifestMismatch(f"the manifest has {length} bytes, more than {MAX_MANIFEST_BYTES}")
    parts: List[bytes] = []
    while sum(map(len, parts)) < length:
        part = os.pread(descriptor, length, sum(map(len, parts)))
        if not part:
            raise ManifestMismatch("the manifest ends too early")
        parts.append(part)
    return b"".join(parts)


def parse_packed(data: bytes, digest: Optional[str], byte_length: int) -> List[PackedTensor]:
    """
    `digest`: the seal's `tensors`, None for a shard that is a plain sequence of bytes, which is one U8 tensor over all of
    it. `byte_length`: of the shard. Errors: ManifestMismatch.
    """
    if digest is not None and hashlib.sha256(data).hexdigest() != digest:
        raise ManifestMismatch("the manifest is not the one that was sealed")
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise ManifestMismatch("the manifest is not JSON") from error
    if not isinstance(document, dict) or document.get("v") != 1 or not isinstance(document.get("tensors"), list):
        raise ManifestMismatch("the manifest is not of version 1")
    if len(document["tensors"]) > MAX_TENSORS:
        raise ManifestMismatch(f"the manifest has more than {MAX_TENSORS} tensors")
    tensors = [_tensor(value, position, byte_length) for position, value in enumerate(document["tensors"])]
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise ManifestMismatch("the manifest has a name twice")
    if digest is None and [(t.dtype, t.shape, t.offset) for t in tensors] != [("U8", (byte_length,), 0)]:
        raise ManifestMismatch("the manifest of a plain shard is not one U8 tensor over all of it")
    return tensors


def _tensor(value: Any, position: int, byte_length: int) -> PackedTensor:
    where = f"tensors[{position}] of the manifest"
    if not isinstance(value, dict) or set(value) != KEYS:
        raise ManifestMismatch(f"{where} must have exactly {', '.join(sorted(KEYS))}")
    name, dtype, shape = value["name"], value["dtype"], value["shape"]
    if not isinstance(name, str) or not isinstance(dtype, str) or len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        raise ManifestMismatch(f"{where}: name and dtype must be texts")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(_is_size(size) for size in shape):
        raise ManifestMismatch(f"{where}: shape must be a list of sizes")
    offset, length = value["offset"], value["byteLength"]
    if not _is_size(offset) or not _is_size(length) or offset % BLOCK_BYTES or offset + length > byte_length:
        raise ManifestMismatch(f"{where} does not lie in the shard")
    try:
        expected = byte_length_of(dtype, shape)
    except InvalidInput:
        expected = None  # a type without a size here, such as those of GGUF: its length is the manifest's
    if expected is not None and expected != length:
        raise ManifestMismatch(f"{where} has {length} bytes, and its type and shape make {expected}")
    return PackedTensor(name, dtype, tuple(shape), offset, length)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 53


def _without_duplicates(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key is there twice")
    return members
