"""What a guard finds: clean and damaged tensors of every shape, which block, which elements, and at what price."""
from __future__ import annotations

import json
from unittest.mock import patch

from vram_residency import Damaged, Guard, tree

from .emulator import MIB, EmulatedCase
from .standin import Module, Tensor, model_of, some_bytes


class VerifyTest(EmulatedCase):
    def guarded(self, model: object, **options: object) -> Guard:
        guard = Guard(model, **options) if isinstance(model, (dict, list)) else Guard.from_module(model, **options)
        self.addCleanup(guard.close)
        return guard

    def test_digests_on_the_device_are_those_of_the_host(self) -> None:
        model = model_of(self.engine)
        guard = self.guarded(model)
        guard.baseline()
        for entry in json.loads(guard.manifest())["tensors"]:
            with self.subTest(entry["name"]):
                self.assertEqual(entry["fsverity"], tree.digest_of(model[entry["name"]].data))
                self.assertEqual(entry["byteLength"], len(model[entry["name"]].data))

    def test_clean_weights_verify_again_and_again(self) -> None:
        guard = self.guarded(model_of(self.engine))
        guard.baseline()
        for _ in range(3):
            report = guard.verify()
            self.assertTrue(report.ok)
        self.assertEqual((report.tensors, report.findings), (8, ()))
        self.assertEqual(guard.stats.outcomes, {"clean": 4})

    def test_a_flipped_bit_is_found_with_its_block_and_elements(self) -> None:
        model = model_of(self.engine)
        guard = self.guarded(model)
        guard.baseline()
        for name, byte in (
            ("scale", 3), ("bias", 999), ("block", 0), ("tail", 4096), ("norm", 4095),
            ("weight", 130 * 4096 + 9), ("weight", 131 * 4096 + 11), ("scalar", 1),
        ):  # fmt: skip
            with self.subTest(name=name, byte=byte):
                address = model[name].data_ptr() + byte
                self.emulator.flip(address, 0x10)
                with self.assertRaises(Damaged) as caught:
                    guard.verify()
                self.emulator.flip(address, 0x10)
                [finding] = caught.exception.findings
                self.assertEqual((finding.tensor, finding.block), (name, byte // 4096))
                self.assertEqual(finding.byte_offset, byte // 4096 * 4096)
                item = model[name].element_size()
                first, last = finding.elements
                self.assertTrue(first <= byte // item <= last)
                self.assertEqual(first, byte // 4096 * 4096 // item)
                self.assertEqual(last, (min(len(model[name].data), (byte // 4096 + 1) * 4096) - 1) // item)
                self.assertTrue(guard.verify().ok)

    def test_damage_in_several_tensors_is_all_named(self) -> None:
        model = model_of(self.engine)
        guard = self.guarded(model)
        guard.baseline()
        for name, byte in (("scale", 0), ("weight", 5), ("weight", 4096 * 7), ("norm", 5000)):
            self.emulator.flip(model[name].data_ptr() + byte)
        report = guard.check()
        self.assertEqual(report.outcome, "damaged")
        self.assertEqual(report.damaged_blocks, 4)
        found = sorted((finding.tensor, finding.block) for finding in report.findings)
        self.assertEqual(found, [("norm", 1), ("scale", 0), ("weight", 0), ("weight", 7)])

    def test_many_damaged_blocks_are_counted_and_the_first_listed(self) -> None:
        weight = Tensor(self.engine, bytes(300 * 4096))
        guard = self.guarded({"weight": weight})
        guard.baseline()
        self.engine.write(weight.data_ptr(), b"\1" * (300 * 4096))
        report = guard.check()
        self.assertEqual((report.damaged_blocks, len(report.findings)), (300, 256))

    def test_with_roots_alone_the_tensor_is_named_but_no_block(self) -> None:
        model = model_of(self.engine)
        guard = self.guarded(model, keep="roots")
        guard.baseline()
        self.emulator.flip(model["weight"].data_ptr() + 4096)
        with self.assertRaises(Damaged) as caught:
            guard.verify()
        [finding] = caught.exception.findings
        self.assertEqual((finding.tensor, finding.block), ("weight", None))
        self.assertEqual((finding.byte_offset, finding.elements), (None, None))

    def test_a_clean_verification_reads_back_80_bytes_by_the_drivers_own_count(self) -> None:
        guard = self.guarded(model_of(self.engine))
        guard.baseline()
        before = self.emulator.state()["bytesToHost"]
        report = guard.verify()
        self.assertEqual(self.emulator.state()["bytesToHost"] - before, 80)
        self.assertEqual(report.readback_bytes, 80)
        self.assertLess(report.readback_bytes, 4096)

    def test_all_memory_is_taken_at_construction_within_its_bound(self) -> None:
        model = {"big": Tensor(self.engine, some_bytes(8 * MIB)), "small": Tensor(self.engine, some_bytes(100))}
        before = self.emulator.state()
        for keep in ("leaves", "roots"):
            with self.subTest(keep), Guard(model, keep=keep) as guard:
                taken = self.emulator.state()
                device = taken["usedBytes"][0] - before["usedBytes"][0]
                extra = (8 * MIB + 100) * 0.008 if keep == "leaves" else 0
                self.assertGreater(guard.memory_bytes, device)
                self.assertLessEqual(guard.memory_bytes, 16 * MIB + extra)
                guard.baseline()
                guard.verify()
                self.emulator.flip(model["big"].data_ptr())
                self.assertFalse(guard.check().ok)
                self.emulator.flip(model["big"].data_ptr())
                after = self.emulator.state()
                for call in ("cuMemAlloc_v2", "cuMemAllocHost_v2", "cuModuleLoadData", "cuStreamCreate", "cuEventCreate"):
                    self.assertEqual(after["calls"].get(call), taken["calls"].get(call), call)
        self.assertEqual(self.emulator.state()["usedBytes"], before["usedBytes"])

    def test_a_module_is_guarded_by_its_parameters_and_buffers(self) -> None:
        weight, running = Tensor(self.engine, some_bytes(5000)), Tensor(self.engine, some_bytes(64, 2))
        module = Module({"weight": weight}, {"running": running})
        guard = self.guarded(module)
        self.assertEqual(guard.baseline().tensors, 2)
        self.emulator.flip(running.data_ptr())
        self.assertEqual([f.tensor for f in guard.check().findings], ["running"])

    def test_hundreds_of_small_tensors_go_through_shared_launches(self) -> None:
        model = {f"t{n}": Tensor(self.engine, some_bytes(16, n)) for n in range(300)}
        guard = self.guarded(model)
        guard.baseline()
        before = self.emulator.calls("cuLaunchKernel")
        self.assertTrue(guard.verify().ok)
        self.assertEqual(self.emulator.calls("cuLaunchKernel") - before, 3 + 2)
        self.emulator.flip(model["t299"].data_ptr())
        self.emulator.flip(model["t128"].data_ptr())
        self.assertEqual(sorted(f.tensor for f in guard.check().findings), ["t128", "t299"])

    def test_windows_smaller_than_the_tensor_give_the_same_digest(self) -> None:
        data = some_bytes(700 * 4096 + 1)
        with patch("vram_residency.scratch.WINDOW_BLOCKS", 256):
            guard = self.guarded({"weight": Tensor(self.engine, data, dtype="torch.uint8", item=1)})
            guard.baseline()
        [entry] = json.loads(guard.manifest())["tensors"]
        self.assertEqual(entry["fsverity"], tree.digest_of(data))
