"""Lent weights in real PyTorch, over the emulated driver: its memory lies on the host, so PyTorch takes CPU tensors."""
from __future__ import annotations

import re
import unittest
from types import SimpleNamespace
from typing import Any, List
from unittest import mock

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

from vram_residency.errors import InvalidInput
from vram_residency.share import InUse, assign

from .emulator import REPOSITORY
from .share_case import ShareCase
from .worker import SharedMemory, manifest_of


@unittest.skipIf(torch is None, "PyTorch is not installed")
class AssignTest(ShareCase):
    def setUp(self) -> None:
        super().setUp()
        torch.manual_seed(1)
        self.reference = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.BatchNorm1d(4)).eval()
        content = {
            name: ({torch.float32: "F32", torch.int64: "I64"}[value.dtype], list(value.shape), value.numpy().tobytes())
            for name, value in self.reference.state_dict().items()
        }
        self.manifest, self.data = manifest_of(content)
        self.memory = SharedMemory(self.driver, self.data)
        self.before = self.emulator.live()

    def module(self) -> Any:
        return torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.BatchNorm1d(4)).eval()

    def test_a_module_computes_on_the_lent_memory(self) -> None:
        lease = self.lend()
        module, inputs = self.module(), torch.ones(3, 8)
        assign(module, lease)
        self.assertTrue(torch.equal(module(inputs), self.reference(inputs)))
        mapping = lease.shards[0].mapping
        self.assertEqual(module[0].weight.data_ptr(), mapping.host.address)
        self.assertFalse(any(parameter.requires_grad for parameter in module.parameters()))
        # Damage in the worker's memory is what this module computes on: nothing was copied.
        self.emulator.flip(self.memory.address + 3, 0x40)
        self.assertFalse(torch.equal(module(inputs), self.reference(inputs)))
        with self.assertRaises(InUse):
            lease.close()
        del module
        lease.close()
        self.worker.stop()
        self.assert_nothing_left()

    def test_the_program_of_docs_sharing_md(self) -> None:
        text = (REPOSITORY / "docs/sharing.md").read_text()
        [block] = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        borrowed = self.lend(lambda: self.worker.say({"type": "verified", "shardId": "s", "ageMs": 5}))
        served: List[int] = []
        names = {"module": self.module(), "requests": range(3), "serve": served.append}
        with mock.patch("vram_residency.share.connect", lambda *_, **__: SimpleNamespace(lend=lambda _: borrowed)):
            borrowed.await_ages(5)
            exec(compile(block, "docs/sharing.md", "exec"), names)
        self.assertEqual(served, [0, 1, 2])
        names.clear()
        borrowed.close()

    def test_another_model_is_refused_and_left_alone(self) -> None:
        lease = self.lend()
        for other in (torch.nn.Sequential(torch.nn.Linear(8, 4)), torch.nn.Linear(8, 4)):
            with self.assertRaises(InvalidInput):
                assign(other, lease)
        wider = torch.nn.Sequential(torch.nn.Linear(9, 4), torch.nn.BatchNorm1d(4))
        before = wider[0].weight.clone()
        with self.assertRaises(InvalidInput):
            assign(wider, lease)
        self.assertTrue(torch.equal(wider[0].weight, before))
        lease.close()
