"""Never a false word: what the GPU did not do, or did wrongly, is not a verdict; what does not repeat is not damage."""
from __future__ import annotations

import ctypes
from typing import Any, Callable, Optional
from unittest.mock import patch

from vram_residency import Damaged, Guard, Transient, Unavailable, hasher, kernels, scratch, tree
from vram_residency.kernels import Kernels

from .emulator import EmulatedCase
from .standin import model_of

Launch = Callable[..., None]


class TruthTest(EmulatedCase):
    def setUp(self) -> None:
        super().setUp()
        self.model = model_of(self.engine)

    def guarded(self, **options: Any) -> Guard:
        guard = Guard(self.model, **options)
        self.addCleanup(guard.close)
        guard.baseline()
        return guard

    def on_launch(self, change: Callable[[int, Launch, tuple], None]) -> Any:
        """Replaces launches: `change` gets the number of the launch, the true one, and its arguments."""
        true, count = Kernels._launch, [0]

        def launch(this: Kernels, *arguments: Any) -> None:
            count[0] += 1
            change(count[0], lambda *a: true(this, *a), arguments)

        return patch.object(Kernels, "_launch", launch)

    def assert_no_verdict(self, guard: Guard, said: str) -> None:
        with self.assertRaisesRegex(Unavailable, said):
            guard.verify()
        self.assertEqual(guard.stats.outcomes.get("damaged"), None)

    def test_kernels_that_hash_wrongly_are_refused_at_construction(self) -> None:
        ptx = kernels.shipped_ptx()
        self.assertIn(b"1116352408", ptx)  # the first round constant of SHA-256
        with patch("vram_residency.machine.shipped_ptx", lambda: ptx.replace(b"1116352408", b"1116352409", 1)):
            with self.assertRaisesRegex(Unavailable, "canary"):  # which comes before the known answers
                Guard(self.model)
        self.assert_only_the_engines()

    def test_known_answers_that_ignore_a_changed_bit_are_refused(self) -> None:
        def replayed(this: hasher.Hasher, address: int, data: bytes, first: list = []) -> None:  # noqa: B006
            first.append(data)
            upload(this, address, first[0])

        upload = hasher.Hasher.upload
        with patch.object(hasher.Hasher, "upload", replayed), self.assertRaisesRegex(Unavailable, "known bytes wrongly"):
            Guard(self.model)
        self.assert_only_the_engines()

    def test_a_launch_that_is_skipped_is_no_verdict(self) -> None:
        guard = self.guarded()
        launches = []
        with self.on_launch(lambda n, launch, a: (launches.append(n), launch(*a))[1]):
            guard.verify()
        for skipped in launches:
            with self.subTest(launch=skipped):
                with self.on_launch(lambda n, launch, a, s=skipped: None if n == s else launch(*a)):
                    self.assert_no_verdict(guard, "did not carry out the run: .* were hashed")
        self.assertTrue(guard.verify().ok)

    def test_launches_that_count_but_skip_the_canary_are_no_verdict(self) -> None:
        def no_canary(n: int, launch: Launch, arguments: tuple) -> None:
            function, threads, *rest = arguments
            launch(function, threads - 1 if threads == 2 else threads, *rest)

        guard = self.guarded()
        small = patch.object(kernels, "THREADS", 1)  # as many threads run as were asked for, not a multiple of 128
        with small, self.on_launch(no_canary):
            self.assert_no_verdict(guard, "canary")

    def test_a_replayed_proof_of_an_earlier_run_is_no_verdict(self) -> None:
        guard = self.guarded()
        true, kept = ctypes.string_at, []

        def replay(address: int, length: int = -1) -> bytes:
            data = true(address, length)
            if length != scratch.PROOF_BYTES:
                return data
            kept.append(data)
            return kept[0]

        with patch("vram_residency.hasher.ctypes.string_at", replay):
            guard.verify()
            self.assert_no_verdict(guard, "canary")

    def test_a_result_that_is_still_the_pattern_was_not_written(self) -> None:
        guard = self.guarded()
        true = hasher.Hasher._copy

        def lost(this: hasher.Hasher, target: int, source: int, byte_length: int) -> None:
            if target != this._scratch.device + scratch.ROOT_OFFSET:
                true(this, target, source, byte_length)

        with patch.object(hasher.Hasher, "_copy", lost):
            self.assert_no_verdict(guard, "result was not written")

    def test_a_root_that_was_not_written_is_no_damage(self) -> None:
        guard = self.guarded()
        true, roots = hasher.Hasher._copy, guard._machine.scratch.layout.roots
        last = guard._machine.scratch.device + roots + (len(guard._baseline.ranges) - 1) * tree.HASH_BYTES

        def lost(this: hasher.Hasher, target: int, source: int, byte_length: int) -> None:
            if target != last:
                true(this, target, source, byte_length)

        with patch.object(hasher.Hasher, "_copy", lost):
            self.assert_no_verdict(guard, "root of a tensor was not written")

    def test_the_comparison_is_on_the_host_and_sees_a_host_copy(self) -> None:
        """A guard that hashed a copy on the host would read the weights back: the driver counts what it reads."""
        guard = self.guarded()
        before = self.emulator.state()
        guard.verify()
        after = self.emulator.state()
        self.assertLess(after["bytesToHost"] - before["bytesToHost"], 4096)
        self.assertGreater(after["calls"]["cuLaunchKernel"], before["calls"]["cuLaunchKernel"])
        self.emulator.flip(self.model["weight"].data_ptr())  # no host copy has this bit
        with self.assertRaises(Damaged):
            guard.verify()

    def test_the_blocks_that_a_report_counts_are_those_that_the_gpu_counted(self) -> None:
        guard = self.guarded()
        blocks = sum(tree.blocks_of(len(tensor.data)) for tensor in self.model.values())
        self.assertEqual(guard.verify().blocks_hashed, blocks)

    def test_a_mismatch_that_does_not_repeat_is_transient(self) -> None:
        for name in ("weight", "scale"):
            with self.subTest(name):
                guard, address = self.guarded(), self.model[name].data_ptr()
                self.emulator.flip(address)
                with self._healed_before_the_second_run(address), self.assertRaises(Transient) as caught:
                    guard.verify()
                self.assertEqual(caught.exception.tensors, (name,))
                self.assertTrue(guard.verify().ok)
                self.assertEqual(guard.stats.outcomes, {"clean": 2, "transient": 1})

    def test_damage_beside_a_transient_mismatch_is_told_apart(self) -> None:
        guard = self.guarded()
        self.emulator.flip(self.model["norm"].data_ptr())
        self.emulator.flip(self.model["weight"].data_ptr())
        with self._healed_before_the_second_run(self.model["weight"].data_ptr()):
            report = guard.check()
        self.assertEqual(([f.tensor for f in report.findings], report.transient), (["norm"], ("weight",)))

    def test_block_hashes_that_contradict_their_root_are_no_baseline(self) -> None:
        true = hasher.Hasher._fetch

        def slip(this: hasher.Hasher, source: int, byte_length: int) -> bytes:
            data = true(this, source, byte_length)
            return bytes([data[0] ^ 1]) + data[1:] if byte_length == 132 * 32 - 32 else data

        guard = Guard(self.model)
        self.addCleanup(guard.close)
        with patch.object(hasher.Hasher, "_fetch", slip), self.assertRaisesRegex(Unavailable, "do not hash to its root"):
            guard.baseline()
        guard.baseline()
        self.emulator.flip(self.model["weight"].data_ptr())
        with patch.object(hasher.Hasher, "_fetch", slip), self.assertRaisesRegex(Unavailable, "contradicts itself"):
            guard.verify()

    def _healed_before_the_second_run(self, address: int) -> Any:
        true, runs = hasher.Hasher.run, [0]

        def run(this: hasher.Hasher, ranges: Any, sink: Optional[hasher.LeafSink] = None) -> bytes:
            runs[0] += 1
            if runs[0] == 2:
                self.emulator.flip(address)
            return true(this, ranges, sink)

        return patch.object(hasher.Hasher, "run", run)
