"""
Which bytes count: tied weights, views, misaligned and non-contiguous storage, types of every width; and what is
refused.
"""
from __future__ import annotations

import json
import time
from typing import Any, Dict
from unittest.mock import patch

from vram_residency import Damaged, Guard, InvalidInput, Unavailable, tree

from .emulator import EmulatedCase
from .standin import CpuTensor, Module, Storage, Tensor, model_of, some_bytes


class TensorCase(EmulatedCase):
    def guarded(self, model: Any, **options: Any) -> Guard:
        guard = Guard(model, **options)
        self.addCleanup(guard.close)
        return guard

    def entries(self, guard: Guard) -> Dict[str, Dict[str, Any]]:
        return {entry["name"]: entry for entry in json.loads(guard.manifest())["tensors"]}


class StorageTest(TensorCase):
    def test_tied_weights_are_hashed_once_and_both_are_named(self) -> None:
        tensor = Tensor(self.engine, some_bytes(10 * 4096))
        module = Module({"embedding": tensor, "head": tensor})
        guard = Guard.from_module(module)
        self.addCleanup(guard.close)
        guard.baseline()
        self.assertEqual(guard.verify().blocks_hashed, 10)
        entries = self.entries(guard)
        self.assertEqual(entries["embedding"]["fsverity"], entries["head"]["fsverity"])
        self.emulator.flip(tensor.data_ptr() + 5)
        [finding] = guard.check().findings
        self.assertEqual((finding.tensor, finding.also), ("embedding", ("head",)))

    def test_views_are_hashed_once_with_their_base_and_have_digests_of_their_own(self) -> None:
        data = some_bytes(12 * 4096)
        fused = Tensor(self.engine, data)
        parts = {
            name: Tensor(self.engine, storage=fused.untyped_storage(), offset=offset, byte_length=4 * 4096)
            for name, offset in (("q", 0), ("k", 4 * 4096), ("v", 8 * 4096))
        }
        guard = self.guarded({"fused": fused, **parts})
        guard.baseline()
        self.assertEqual(guard.verify().blocks_hashed, 12)
        self.assertEqual(self.entries(guard)["k"]["fsverity"], tree.digest_of(data[4 * 4096 : 8 * 4096]))
        self.emulator.flip(fused.data_ptr() + 5 * 4096)
        [finding] = guard.check().findings
        self.assertEqual((finding.tensor, finding.block, finding.also), ("fused", 5, ("k",)))

    def test_views_that_overlap_in_part_are_both_hashed(self) -> None:
        data = some_bytes(6 * 4096)
        storage = Tensor(self.engine, data).untyped_storage()
        first = Tensor(self.engine, storage=storage, byte_length=4 * 4096)
        second = Tensor(self.engine, storage=storage, offset=2 * 4096, byte_length=4 * 4096)
        guard = self.guarded({"first": first, "second": second})
        guard.baseline()
        self.assertEqual(guard.verify().blocks_hashed, 8)
        self.emulator.flip(second.data_ptr())
        self.assertEqual(sorted(f.tensor for f in guard.check().findings), ["first", "second"])

    def test_misaligned_views_have_the_digest_of_their_bytes(self) -> None:
        data = some_bytes(300 * 4096)
        base = Tensor(self.engine, data)
        views = {
            f"{offset}+{length}": Tensor(
                self.engine, storage=base.untyped_storage(), offset=offset, byte_length=length, item=1, dtype="torch.int8"
            )
            for offset, length in ((1, 100), (2, 4096), (8, 4097), (15, 290 * 4096 + 1), (4096 * 3 + 4, 8192))
        }
        guard = self.guarded(views)
        guard.baseline()
        entries = self.entries(guard)
        for name in views:
            offset, length = (int(part) for part in name.split("+"))
            with self.subTest(name):
                self.assertEqual(entries[name]["fsverity"], tree.digest_of(data[offset : offset + length]))
        self.assertTrue(guard.verify().ok)
        self.emulator.flip(base.data_ptr() + 15 + 280 * 4096)
        [finding] = guard.check().findings
        self.assertEqual((finding.tensor, finding.block), ("15+1187841", 280))

    def test_bytes_beside_a_view_are_not_its_bytes(self) -> None:
        base = Tensor(self.engine, some_bytes(3 * 4096))
        view = Tensor(self.engine, storage=base.untyped_storage(), offset=100, byte_length=5000)
        guard = self.guarded({"view": view})
        guard.baseline()
        for outside in (99, 5100):
            self.emulator.flip(base.data_ptr() + outside)
        self.assertTrue(guard.verify().ok)

    def test_non_contiguous_tensors_are_whole_storages_and_named_so(self) -> None:
        data = some_bytes(3 * 4096 + 8)
        tensor = Tensor(self.engine, data, shape=(8, 16), contiguous=False)
        guard = self.guarded({"transposed": tensor})
        guard.baseline()
        [entry] = self.entries(guard).values()
        self.assertEqual((entry["name"], entry["dtype"], entry["shape"]), ("transposed (whole storage)", "U8", [len(data)]))
        self.assertEqual(entry["fsverity"], tree.digest_of(data))
        self.emulator.flip(tensor.data_ptr() + len(data) - 1)
        [finding] = guard.check().findings
        self.assertEqual((finding.tensor, finding.block, finding.elements), ("transposed (whole storage)", 3, None))

    def test_sub_byte_types_whose_elements_share_bytes_are_whole_storages(self) -> None:
        data = some_bytes(512)
        packed = Tensor(self.engine, data, dtype="torch.quint4x2", item=1, shape=(1024,))
        pairs = Tensor(self.engine, data, dtype="torch.float4_e2m1fn_x2", item=1)
        guard = self.guarded({"packed": packed, "pairs": pairs})
        guard.baseline()
        entries = self.entries(guard)
        self.assertEqual(entries["packed (whole storage)"]["shape"], [512])
        self.assertEqual((entries["pairs"]["dtype"], entries["pairs"]["shape"]), ("F4", [512]))

    def test_types_have_the_words_of_safetensors(self) -> None:
        words = {
            "torch.bfloat16": ("BF16", 2), "torch.float16": ("F16", 2), "torch.float8_e4m3fn": ("F8_E4M3", 1),
            "torch.float8_e5m2": ("F8_E5M2", 1), "torch.int64": ("I64", 8), "torch.bool": ("BOOL", 1),
            "torch.qint32": ("qint32", 4),
        }  # fmt: skip
        model = {t: Tensor(self.engine, some_bytes(64), dtype=t, item=item) for t, (_, item) in words.items()}
        guard = self.guarded(model)
        guard.baseline()
        for name, entry in self.entries(guard).items():
            self.assertEqual((entry["dtype"], entry["shape"]), (words[name][0], [64 // words[name][1]]))

    def test_nan_bytes_and_empty_and_zero_dimensional_tensors(self) -> None:
        nan = Tensor(self.engine, b"\x00\x00\xc0\x7f" * 2048)
        model = {"nan": nan, "empty": Tensor(self.engine, b""), "scalar": Tensor(self.engine, b"\0\0\0\0", shape=())}
        guard = self.guarded(model)
        guard.baseline()
        self.assertTrue(guard.verify().ok)
        entries = self.entries(guard)
        self.assertEqual((entries["empty"]["byteLength"], entries["scalar"]["shape"]), (0, []))
        self.assertEqual(entries["empty"]["fsverity"], tree.digest_of(b""))
        self.emulator.flip(nan.data_ptr() + 4098, 0x01)  # still a NaN
        self.assertFalse(guard.check().ok)

    def test_empty_tensors_alone_can_be_guarded(self) -> None:
        guard = self.guarded({"empty": Tensor(self.engine, b"")})
        guard.baseline()
        self.assertEqual(guard.verify().blocks_hashed, 0)


class BadInputTest(TensorCase):
    def test_what_is_no_model_is_refused_with_the_reason(self) -> None:
        tensor = Tensor(self.engine, some_bytes(64))

        class Broken:
            is_cuda = True

            def element_size(self) -> int:
                raise RuntimeError("wrapper subclass")

        for model, said in (
            ({}, "no CUDA tensor"),
            ({"cpu": CpuTensor()}, '"cpu" is on cpu'),
            ([("a", tensor), ("a", tensor)], '"a" is there twice'),
            ([("a", tensor, 1)], "pairs of a name and a tensor"),
            ({7: tensor}, "names must be texts"),
            ({"n" * 1025: tensor}, "at most 1024 bytes"),
            ({"broken": Broken()}, 'memory of tensor "broken" cannot be determined: RuntimeError: wrapper subclass'),
        ):
            with self.subTest(said), self.assertRaisesRegex(InvalidInput, said):
                Guard(model)
        with self.assertRaisesRegex(InvalidInput, "keep must be"):
            Guard({"a": tensor}, keep="blocks")
        self.assertEqual(self.emulator.calls("cuLaunchKernel"), 0)

    def test_a_tensor_that_its_device_cannot_read_is_changed_before_anything_runs(self) -> None:
        tensor = Tensor(self.engine, storage=Storage(0xD0DEAD0000, 4096), byte_length=4096)
        self.assertEqual(self.guarded({"wild": tensor}).stats.outcomes, {})
        with self.assertRaisesRegex(Exception, "wild is not mapped"):
            self.guarded({"wild": tensor}).baseline()

    def test_verify_before_baseline_says_what_to_do(self) -> None:
        guard = self.guarded(model_of(self.engine))
        for ask in (guard.verify, guard.check, guard.changed, guard.manifest):
            with self.assertRaisesRegex(InvalidInput, r"call baseline\(\) first"):
                ask()

    def test_no_driver_an_old_one_and_an_old_gpu_are_unavailable(self) -> None:
        model = model_of(self.engine)
        with patch.dict("os.environ", {"VRAM_RESIDENCY_LIBCUDA": "/nonexistent/libcuda.so.1"}):
            with self.assertRaisesRegex(Unavailable, "no NVIDIA driver was found"):
                Guard(model)
        for setting, said in (("driverVersion=11080", "CUDA 11.8"), ("major=7", "compute capability 7.0")):
            self.emulator.configure(setting)
            with self.assertRaisesRegex(Unavailable, said):
                Guard(model)
            self.emulator.configure("driverVersion=12080;major=9")

    def test_forty_thousand_tensors_are_verified_in_bounded_time(self) -> None:
        count, item = 40_000, 64
        base = Tensor(self.engine, some_bytes(count * item))
        storage = base.untyped_storage()
        model = {f"t{n}": Tensor(self.engine, storage=storage, offset=n * item, byte_length=item) for n in range(count)}
        started = time.monotonic()
        guard = self.guarded(model)
        guard.baseline()
        self.assertTrue(guard.verify().ok)
        self.emulator.flip(base.data_ptr() + 39_999 * item)
        with self.assertRaises(Damaged) as caught:
            guard.verify()
        self.assertEqual([f.tensor for f in caught.exception.findings], ["t39999"])
        self.assertLess(time.monotonic() - started, 60)

    def test_more_tensors_than_the_limit_are_refused(self) -> None:
        one = Tensor(self.engine, some_bytes(64))
        with self.assertRaisesRegex(InvalidInput, "more than 65536 tensors"):
            Guard((f"t{n}", one) for n in range(65_537))
