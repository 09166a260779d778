"""Stand-ins for PyTorch's tensors and modules: the part of their interface that the guard uses, over an engine's memory."""
from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any, Dict, Iterator, Optional, Tuple

from .emulator import Engine


class Storage:
    def __init__(self, address: int, byte_length: int) -> None:
        self._address, self._byte_length = address, byte_length

    def data_ptr(self) -> int:
        return self._address

    def nbytes(self) -> int:
        return self._byte_length


class Tensor:
    """`data` is written to new device memory, or `storage` is that of another tensor."""

    is_cuda = True

    def __init__(
        self,
        engine: Engine,
        data: bytes = b"",
        *,
        dtype: str = "torch.float32",
        item: int = 4,
        shape: Optional[Tuple[int, ...]] = None,
        storage: Optional[Storage] = None,
        offset: int = 0,
        byte_length: Optional[int] = None,
        contiguous: bool = True,
        device: int = 0,
    ) -> None:
        self.data = data
        length = len(data) if byte_length is None else byte_length
        self._storage = storage or Storage(engine.allocate(data) if data else 0, len(data))
        self._offset, self._item, self._contiguous = offset, item, contiguous
        self.dtype, self.shape = dtype, (length // item,) if shape is None else shape
        self.device = SimpleNamespace(index=device)
        self._version = 0

    def data_ptr(self) -> int:
        return self._storage.data_ptr() + self._offset if self.numel() else 0

    def numel(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count

    def element_size(self) -> int:
        return self._item

    def is_contiguous(self) -> bool:
        return self._contiguous

    def untyped_storage(self) -> Storage:
        return self._storage


class CpuTensor:
    is_cuda = False
    device = "cpu"


class Module:
    """Parameters by name; `remove_duplicate` as in PyTorch 2."""

    def __init__(self, parameters: Dict[str, Any], buffers: Optional[Dict[str, Any]] = None) -> None:
        self.parameters, self.buffers = parameters, buffers or {}

    def named_parameters(self, remove_duplicate: bool = True) -> Iterator[Tuple[str, Any]]:
        return _unique(self.parameters, remove_duplicate)

    def named_buffers(self, remove_duplicate: bool = True) -> Iterator[Tuple[str, Any]]:
        return _unique(self.buffers, remove_duplicate)


def _unique(members: Dict[str, Any], remove_duplicate: bool) -> Iterator[Tuple[str, Any]]:
    seen = set()
    for name, member in members.items():
        if not remove_duplicate or id(member) not in seen:
            yield name, member
        seen.add(id(member))


def some_bytes(byte_length: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(byte_length)


def model_of(engine: Engine) -> Dict[str, Tensor]:
    """Shapes of every kind: under a block, one block, tails, several node levels, empty, zero-dimensional."""
    lengths = {"scale": 4, "bias": 1000, "block": 4096, "tail": 4100, "norm": 8192, "weight": 131 * 4096 + 12, "none": 0}
    model = {name: Tensor(engine, some_bytes(length, length)) for name, length in lengths.items()}
    model["scalar"] = Tensor(engine, some_bytes(2, 7), dtype="torch.bfloat16", item=2, shape=())
    return model
