"""The manifest: names, types, shapes and digests, by a guard or by `vram-residency digest --json --tensors FILE`."""
from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple, Union

from .errors import InvalidInput
from .tensors import MAX_BYTES, MAX_NAME_BYTES, MAX_TENSORS, TensorState

MAX_MANIFEST_BYTES = 64 << 20
MAX_DIMENSIONS = 64
DIGEST = re.compile(r"fsverity-sha256-12:[0-9a-f]{64}")
KEYS = {"name", "dtype", "shape", "byteLength", "fsverity"}


@dataclass(frozen=True)
class Entry:
    name: str
    dtype: str
    shape: Tuple[int, ...]
    byte_length: int
    fsverity: str


def write_manifest(entries: Sequence[Entry]) -> str:
    """JSON, as parse_manifest reads it. A guard knows no files, so `files` is empty and `packed` null."""
    tensors = [
        {"name": e.name, "dtype": e.dtype, "shape": list(e.shape), "byteLength": e.byte_length, "fsverity": e.fsverity}
        for e in entries
    ]
    return json.dumps({"v": 1, "files": [], "packed": None, "tensors": tensors}, separators=(",", ":"))


def parse_manifest(text: Union[str, bytes]) -> List[Entry]:
    """Errors: InvalidInput for what is not a manifest of version 1; `files` and `packed` are for other readers."""
    if not isinstance(text, (str, bytes)) or len(text) > MAX_MANIFEST_BYTES:
        raise InvalidInput(f"a manifest must be JSON text of at most {MAX_MANIFEST_BYTES} bytes")
    try:
        document = json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the manifest is not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("v") != 1 or not isinstance(document.get("tensors"), list):
        raise InvalidInput("the manifest must be an object with v 1 and a list of tensors")
    if len(document["tensors"]) > MAX_TENSORS:
        raise InvalidInput(f"the manifest has more than {MAX_TENSORS} tensors")
    entries = [_entry(value, position) for position, value in enumerate(document["tensors"])]
    names = set()
    for entry in entries:
        if entry.name in names:
            raise InvalidInput(f'the manifest has "{entry.name}" twice')
        names.add(entry.name)
    return entries


def require_same_model(entries: Sequence[Entry], states: Sequence[TensorState]) -> None:
    """Errors: InvalidInput with the first difference of names, types, shapes or lengths."""
    actual = {state.name: state for state in states}
    for entry in entries:
        state = actual.pop(entry.name, None)
        if state is None:
            raise InvalidInput(f'the manifest is of another model: "{entry.name}" is not among the tensors')
        for what, expected, got in (
            ("type", entry.dtype, state.dtype),
            ("shape", entry.shape, state.shape),
            ("length", entry.byte_length, state.byte_length),
        ):
            if expected != got:
                difference = f'the {what} of "{entry.name}" is {got}, not {expected}'
                raise InvalidInput(f"the manifest is of another model: {difference}")
    for name in actual:
        raise InvalidInput(f'the manifest is of another model: it has no "{name}"')


def _entry(value: Any, position: int) -> Entry:
    where = f"tensors[{position}] of the manifest"
    if not isinstance(value, dict) or set(value) != KEYS:
        raise InvalidInput(f"{where} must have exactly {', '.join(sorted(KEYS))}")
    name, dtype, shape = value["name"], value["dtype"], value["shape"]
    if not isinstance(name, str) or not isinstance(dtype, str):
        raise InvalidInput(f"{where}: name and dtype must be texts")
    if max(len(name.encode("utf-8", "replace")), len(dtype.encode("utf-8", "replace"))) > MAX_NAME_BYTES:
        raise InvalidInput(f"{where}: name and dtype must have at most {MAX_NAME_BYTES} bytes")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(_is_size(size) for size in shape):
        raise InvalidInput(f"{where}: shape must be a list of sizes")
    if not _is_size(value["byteLength"]):
        raise InvalidInput(f"{where}: byteLength must be 0 to {MAX_BYTES}")
    if not isinstance(value["fsverity"], str) or DIGEST.fullmatch(value["fsverity"]) is None:
        raise InvalidInput(f"{where}: fsverity must be fsverity-sha256-12: and 64 hex digits")
    return Entry(name, dtype, tuple(shape), value["byteLength"], value["fsverity"])


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_BYTES


def _without_duplicates(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key is there twice")
    return members
