"""Detects deliberate changes of the tensors, before any verdict about their bytes."""
from __future__ import annotations

from typing import Any, Iterable, List, Optional, Sequence, Tuple

from .errors import InvalidInput
from .report import Change
from .tensors import TensorState, describe


def changes_since(before: Sequence[TensorState], named: Iterable[Tuple[str, Any]]) -> List[Change]:
    """
    What differs between then and now: names, devices, addresses, lengths, types, shapes, and PyTorch's count of writes.
    """
    changes: List[Change] = []
    missing = {state.name: state for state in before}
    for name, tensor in named:
        try:
            now = describe(name, tensor)
        except InvalidInput as error:
            missing.pop(name, None)
            changes.append(Change(name, f"cannot be read any more: {error}"))
            continue
        then = missing.pop(now.name, None)
        what = "is new" if then is None else _difference(then, now)
        if what is not None:
            changes.append(Change(now.name, what))
    return changes + [Change(name, "is gone") for name in missing]


def _difference(then: TensorState, now: TensorState) -> Optional[str]:
    if now.device != then.device:
        return f"moved from cuda:{then.device} to cuda:{now.device}"
    if now.byte_length != then.byte_length:
        return f"has {now.byte_length} bytes instead of {then.byte_length}"
    if (now.dtype, now.shape) != (then.dtype, then.shape):
        return f"is {now.dtype} {list(now.shape)} instead of {then.dtype} {list(then.shape)}"
    if now.address != then.address:
        return "moved to another address"
    if now.version != then.version:
        return "was written"
    return None
