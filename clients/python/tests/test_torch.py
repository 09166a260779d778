"""The guard's view of real PyTorch tensors: on the CPU, with their bytes mirrored into the test driver's memory."""
from __future__ import annotations

import ctypes
import json
import sys
import unittest
from types import SimpleNamespace
from typing import Any, Dict, Iterator, Tuple
from unittest.mock import patch

from vram_residency import Changed, Guard, InvalidInput, tree
from vram_residency.tensors import describe

from .emulator import REPOSITORY, EmulatedCase, Engine
from .standin import Storage

try:
    import torch

    WITHOUT = ""
except ImportError:
    torch = None
    WITHOUT = "PyTorch is not importable by this Python"


def storage_of(tensor: Any) -> Any:
    return tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()


def raw_bytes(storage: Any) -> bytes:


    return ctypes.string_at(storage.data_ptr(), storage.nbytes()) if storage.nbytes() else b""


class Mirror:
    """A tensor whose storage lies in the test driver's memory; everything else is PyTorch's own answer."""

    is_cuda = True
    device = SimpleNamespace(index=0)

    def __init__(self, tensor: Any, engine: Engine, storages: Dict[int, int]) -> None:
        self._tensor = tensor
        storage = storage_of(tensor)
        host, byte_length = storage.data_ptr(), storage.nbytes()
        if byte_length and host not in storages:
            storages[host] = engine.allocate(raw_bytes(storage))
        self._moved = storages.get(host, 0) - host if byte_length else 0
        self._storage = Storage(host + self._moved, byte_length)

    def data_ptr(self) -> int:
        return self._tensor.data_ptr() + self._moved if self._tensor.numel() else 0

    def untyped_storage(self) -> Storage:
        return self._storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tensor, name)


class MirrorModule:
    """A module whose members are mirrors; asks PyTorch's module with whatever arguments it is asked with."""

    def __init__(self, module: Any, engine: Engine) -> None:
        self._module, self._engine, self._storages = module, engine, {}

    def named_parameters(self, **options: Any) -> Iterator[Tuple[str, Any]]:
        return self._mirrored(self._module.named_parameters(**options))

    def named_buffers(self, **options: Any) -> Iterator[Tuple[str, Any]]:
        return self._mirrored(self._module.named_buffers(**options))

    def _mirrored(self, members: Any) -> Iterator[Tuple[str, Any]]:
        return ((name, Mirror(member, self._engine, self._storages)) for name, member in members)


@unittest.skipIf(WITHOUT, WITHOUT)
class TorchTest(EmulatedCase):
    def setUp(self) -> None:
        super().setUp()
        self.storages: Dict[int, int] = {}
        torch.manual_seed(1)

    def mirror(self, tensor: Any) -> Mirror:
        return Mirror(tensor, self.engine, self.storages)

    def manifest_of(self, **tensors: Any) -> Dict[str, Dict[str, Any]]:
        with Guard({name: self.mirror(tensor) for name, tensor in tensors.items()}) as guard:
            guard.baseline()
            self.assertTrue(guard.verify().ok)
            return {entry["name"]: entry for entry in json.loads(guard.manifest())["tensors"]}

    def test_digests_of_contiguous_tensors_are_those_of_their_bytes(self) -> None:
        tensors = {
            "float32": torch.randn(70, 100),
            "float16": torch.randn(33).half(),
            "int8": torch.randint(-128, 127, (5000,)).to(torch.int8),
            "bool": torch.rand(10) > 0.5,
            "complex64": torch.randn(9, dtype=torch.complex64),
        }
        words = {"float32": "F32", "float16": "F16", "int8": "I8", "bool": "BOOL", "complex64": "C64"}
        for name, entry in self.manifest_of(**tensors).items():
            self.assertEqual(entry["fsverity"], tree.digest_of(tensors[name].numpy().tobytes()), name)
            self.assertEqual((entry["dtype"], entry["shape"]), (words[name], list(tensors[name].shape)))

    def test_bfloat16_views_empty_and_zero_dimensional_tensors(self) -> None:
        base = torch.randn(4000).bfloat16()
        entries = self.manifest_of(base=base, view=base[1:2049], empty=torch.empty(0, 3), scalar=torch.tensor(2.5))
        self.assertEqual((entries["base"]["dtype"], entries["view"]["byteLength"]), ("BF16", 4096))
        expected = tree.digest_of(base.view(torch.int16).numpy()[1:2049].tobytes())
        self.assertEqual(entries["view"]["fsverity"], expected)
        self.assertEqual((entries["empty"]["shape"], entries["empty"]["byteLength"]), ([0, 3], 0))
        self.assertEqual((entries["scalar"]["shape"], entries["scalar"]["byteLength"]), ([], 4))

    def test_transposed_and_strided_tensors_are_whole_storages(self) -> None:
        weight = torch.randn(30, 50)
        entries = self.manifest_of(transposed=weight.t(), strided=weight[:, ::2])
        self.assertEqual(set(entries), {"transposed (whole storage)", "strided (whole storage)"})
        digest = tree.digest_of(weight.numpy().tobytes())
        self.assertEqual({entry["fsverity"] for entry in entries.values()}, {digest})

    def test_quantised_tensors_have_their_own_words(self) -> None:
        packed = torch.quantize_per_tensor(torch.randn(64), 0.1, 0, torch.quint8)
        self.assertEqual(self.manifest_of(packed=packed)["packed"]["dtype"], "quint8")

    def test_a_modules_parameters_and_buffers_with_tied_weights(self) -> None:
        module = torch.nn.Sequential(torch.nn.Linear(40, 40, bias=False), torch.nn.BatchNorm1d(40), torch.nn.Linear(40, 40))
        module[2].weight = module[0].weight
        mirrored = MirrorModule(module, self.engine)
        with Guard.from_module(mirrored) as guard:
            guard.baseline()
            names = {entry["name"] for entry in json.loads(guard.manifest())["tensors"]}
            self.assertLessEqual({"0.weight", "1.running_mean", "1.num_batches_tracked", "2.bias"}, names)
            self.assertEqual(guard.verify().blocks_hashed, 2 + 6)  # 6,400 bytes once, and six small ones

    def test_writes_through_pytorch_are_changed_and_writes_past_it_are_not_seen_by_the_count(self) -> None:
        module = torch.nn.Linear(30, 30)
        mirrored = MirrorModule(module, self.engine)
        with Guard.from_module(mirrored) as guard:
            guard.baseline()
            with torch.no_grad():
                module.weight.add_(1)
            with self.assertRaises(Changed) as caught:
                guard.verify()
            self.assertEqual([(c.tensor, c.what) for c in caught.exception.changes], [("weight", "was written")])
            guard.baseline()
            module.weight.data.add_(1)  # as the documents say: .data escapes the count
            self.assertEqual(guard.changed(), ())
            module.bias = torch.nn.Parameter(torch.zeros(30))
            self.assertEqual([c.tensor for c in guard.changed()], ["bias"])

    def test_tensors_made_in_inference_mode_have_no_count(self) -> None:
        with torch.inference_mode():
            tensor = torch.randn(20)
        self.assertIsNone(describe("t", self.mirror(tensor)).version)

    def test_modules_on_the_cpu_are_refused_by_name(self) -> None:
        with self.assertRaisesRegex(InvalidInput, '"weight" is on cpu'):
            Guard.from_module(torch.nn.Linear(3, 3))

    def test_the_kits_decoder_computes(self) -> None:
        with patch.object(sys, "path", [str(REPOSITORY / "clients/python/kit"), *sys.path]):
            import guard_torch_step

        model = guard_torch_step.decoder(torch, 1 << 20, torch.device("cpu"), torch.float32)
        total = sum(p.numel() * p.element_size() for p in model.parameters())
        self.assertLessEqual(total, 1 << 20)
        with torch.no_grad():
            logits = model(torch.arange(8))
        self.assertEqual(logits.shape[0], 8)
        self.assertTrue(bool(torch.isfinite(logits).all()))
        self.assertGreater(float(logits.std()), 0)
