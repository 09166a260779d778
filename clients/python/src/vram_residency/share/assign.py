"""Lent tensors as the weights of a PyTorch module."""
from __future__ import annotations

import sys
from typing import Any, Dict

from ..errors import InvalidInput
from .lease import Lease


def assign(module: Any, lease: Lease) -> None:
    """
    Makes the lent tensors the module's own, by name, without a copy: load_state_dict(assign=True) on PyTorch 2.1 and
    newer, setattr before. Names, shapes and types must be the module's. Parameters require no gradient afterwards. Build
    the module on the `meta` device, so that it never holds weights of its own. Errors: InvalidInput.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        raise InvalidInput("module must be one of PyTorch, which is not imported")
    expected: Dict[str, Any] = dict(module.state_dict())
    missing, unexpected = sorted(set(expected) - set(lease.tensors)), sorted(set(lease.tensors) - set(expected))
    if missing or unexpected:
        raise InvalidInput(f"the lease is of another model: missing {missing[:3]}, not in the module {unexpected[:3]}")
    tensors = {name: torch.utils.dlpack.from_dlpack(lease[name]) for name in expected}
    for name, tensor in tensors.items():
        own = expected[name]
        if tuple(tensor.shape) != tuple(own.shape) or tensor.dtype != own.dtype:
            difference = f"{tensor.dtype} {list(tensor.shape)}, not {own.dtype} {list(own.shape)}"
            raise InvalidInput(f'the lease is of another model: "{name}" is {difference}')
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    if _version_of(torch) >= (2, 1):
        module.load_state_dict(tensors, assign=True)
        return
    for name, tensor in tensors.items():
        _set(torch, module, name, tensor)


def _version_of(torch: Any) -> Any:
    major, minor = str(torch.__version__).split(".")[:2]
    return int(major), int(minor)


def _set(torch: Any, module: Any, name: str, tensor: Any) -> None:
    *path, leaf = name.split(".")
    for part in path:
        module = getattr(module, part)
    if leaf in module._parameters:
        module._parameters[leaf] = torch.nn.Parameter(tensor, requires_grad=False)
    else:
        module._buffers[leaf] = tensor
