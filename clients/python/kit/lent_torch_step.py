#!/usr/bin/env python3
"""
Hardware kit, step pytorch: PyTorch computes on lent weights. By DLPack and by __cuda_array_interface__ the tensors are the
file's, `assign` puts them into a module without a copy, its output equals that over the file's own weights bit for bit, and
an in-place write ends in an error, not in a changed weight.

Usage: lent_torch_step.py SOCKET MODEL FILE; FILE is the safetensors file of one linear layer that the worker lends. Prints
one JSON object. Exit codes: 0 passed, 1 a check failed, 2 bad arguments, 3 no PyTorch, or none that finds a GPU.
"""
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List

import step

step.add_package_to_path()

from vram_residency import GuardError, Unavailable  # noqa: E402 - the package's path comes first
from vram_residency.driver import Driver  # noqa: E402
from vram_residency.share import Lease, assign, connect  # noqa: E402

NAME = "pytorch"
ROWS = 16


def read_file(torch: Any, path: str) -> Dict[str, Any]:
    """The tensors of a safetensors file of F32, on the CPU."""
    data = bytearray(Path(path).read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    found = {}
    for name, entry in json.loads(data[8:start]).items():
        first, last = entry["data_offsets"]
        flat = torch.frombuffer(data, dtype=torch.float32, count=(last - first) // 4, offset=start + first)
        found[name] = flat.reshape(entry["shape"])
    return found


class Writable:
    """What a lent tensor says of itself, without its read-only flag: PyTorch takes no array that has it."""

    def __init__(self, tensor: Any) -> None:
        said = tensor.__cuda_array_interface__
        self.__cuda_array_interface__ = {**said, "data": (said["data"][0], False)}


class Checks:
    """Each gives what it found, in words. Errors: AssertionError."""

    def __init__(self, torch: Any, lease: Lease, path: str) -> None:
        self.torch = torch
        self.lease = lease
        self.emulated = lease.shards[0].mapping.host is not None
        self.device = "cpu" if self.emulated else f"cuda:{next(iter(lease.tensors.values())).__dlpack_device__()[1]}"
        self.file = {name: tensor.to(self.device) for name, tensor in read_file(torch, path).items()}

    def require_same(self, name: str, taken: Any) -> None:
        require(str(taken.device) == self.device, f"{name} is on {taken.device}, not on {self.device}")
        require(self.torch.equal(taken, self.file[name]), f"{name} is not what the file holds")

    def dlpack(self) -> str:
        for name, tensor in self.lease.tensors.items():
            self.require_same(name, self.torch.utils.dlpack.from_dlpack(tensor))
        return f"{len(self.lease.tensors)} tensors equal the file's"

    def cuda_array_interface(self) -> str:
        if self.emulated:
            return "not tried: the emulated driver's memory is the host's"
        for name, tensor in self.lease.tensors.items():
            self.require_same(name, self.torch.as_tensor(Writable(tensor), device=self.device))
        try:
            self.torch.as_tensor(next(iter(self.lease.tensors.values())), device=self.device)
        except TypeError as error:
            return f"equal; with its read-only flag PyTorch refuses it: {error}"
        return "equal; PyTorch takes it with its read-only flag too"

    def assigned(self) -> Any:
        rows, columns = self.file["weight"].shape
        module = self.torch.nn.Linear(columns, rows, device="meta")
        assign(module, self.lease)
        return module

    def matmul(self) -> str:
        module = self.assigned()
        lent = self.torch.utils.dlpack.from_dlpack(self.lease["weight"])
        require(module.weight.data_ptr() == lent.data_ptr(), "the module's weight is not the lent memory")
        inputs = self.torch.randn(ROWS, module.weight.shape[1], device=self.device)
        self.lease.check(max_age_ms=3_600_000)
        expected = self.torch.nn.functional.linear(inputs, self.file["weight"], self.file["bias"])
        require(self.torch.equal(module(inputs), expected), "the output differs from that over the file's weights")
        return "the same bits as over the file's weights, on the lent memory itself"

    def write_in_place(self) -> str:
        """The last one: the context is void afterwards."""
        if self.emulated:
            return "not tried: the emulated driver's memory is the host's, and a store to it ends this process"
        weight = self.torch.utils.dlpack.from_dlpack(self.lease["weight"])
        try:
            weight.add_(1)
            self.torch.cuda.synchronize()
        except RuntimeError as error:
            return f"refused: {str(error).splitlines()[0]}"
        raise AssertionError("an in-place write to lent weights raised nothing")


def require(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def run(torch: Any, lease: Lease, path: str) -> int:
    checks: Dict[str, str] = {}
    failed: List[str] = []
    with torch.no_grad():
        of = Checks(torch, lease, path)
        tries: Dict[str, Callable[[], str]] = {
            "dlpack": of.dlpack,
            "cudaArrayInterface": of.cuda_array_interface,
            "matmul": of.matmul,
            "writeInPlace": of.write_in_place,
        }
        for name, check in tries.items():
            try:
                checks[name] = check()
            except (AssertionError, GuardError, RuntimeError) as error:
                checks[name] = f"FAILED: {error}"
                failed.append(name)
    code = step.FAILED if failed else step.PASSED
    return step.finish(NAME, code, torch=str(torch.__version__), on=of.device, checks=checks, failed=failed)


def main() -> int:
    if len(sys.argv) != 4:
        print("usage: lent_torch_step.py SOCKET MODEL FILE", file=sys.stderr)
        return step.MISUSED
    _, socket, model, path = sys.argv
    try:
        import torch
    except ImportError as error:
        print(f"lent_torch_step.py: PyTorch is not here: {error}", file=sys.stderr)
        return step.NO_GPU
    try:
        if not Driver().emulated and not torch.cuda.is_available():
            print("lent_torch_step.py: PyTorch finds no GPU", file=sys.stderr)
            return step.NO_GPU
        return run(torch, connect(socket, client="kit").lend(model), path)
    except GuardError as error:
        print(f"lent_torch_step.py: {error}", file=sys.stderr)
        return step.NO_GPU if isinstance(error, Unavailable) else step.FAILED


if __name__ == "__main__":
    sys.exit(main())
