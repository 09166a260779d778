"""Never harm, part two: memory that goes away, failures in the middle, threads."""
from __future__ import annotations

import gc
import threading
from typing import Any, List
from unittest.mock import patch

from vram_residency import Changed, DriverFailure, Guard, InvalidInput, Suspended, Unavailable, WrongThread, hasher

from .emulator import MIB, Engine
from .harm_case import HarmCase
from .standin import Module, Storage, Tensor, some_bytes


class MemoryTest(HarmCase):
    def slept(self, pages: int = 2) -> Any:
        mapped = self.engine.map(pages * 2 * MIB)
        data = some_bytes(mapped.byte_length)
        self.engine.write(mapped.address, data)
        storage = Storage(mapped.address, mapped.byte_length)
        tensor = Tensor(self.engine, storage=storage, byte_length=mapped.byte_length)
        return mapped, data, tensor

    def test_unmapped_tensors_are_changed_and_never_read(self) -> None:
        mapped, _, tensor = self.slept(1)
        guard = self.guarded({"sleeper": tensor})
        mapped.sleep()
        for ask in (guard.verify, guard.baseline):
            with self.assertRaises(Changed) as caught:
                ask()
            self.assertEqual([(c.tensor, c.what) for c in caught.exception.changes], [("sleeper", "is not mapped")])
        self.assert_context_is_whole()

    def test_sleep_and_wake_with_the_same_bytes_is_clean_with_one_wrong_page_damaged(self) -> None:
        mapped, data, tensor = self.slept()
        guard = self.guarded({"sleeper": tensor})
        for page, outcome in ((None, "clean"), (3, "damaged")):
            guard.suspend()
            mapped.sleep()
            with self.assertRaises(Suspended):
                guard.verify()
            mapped.wake()
            self.engine.write(mapped.address, data)
            if page is not None:
                self.engine.write(mapped.address + page * 65536, bytes(65536))
            guard.resume()
            report = guard.check()
            self.assertEqual(report.outcome, outcome)
        self.assertEqual([f.block for f in report.findings], list(range(48, 64)))

    def test_memory_without_access_rights_is_not_read(self) -> None:
        mapped, _, tensor = self.slept(1)
        guard = self.guarded({"sleeper": tensor})
        mapped.sleep()
        mapped.wake(access=0)
        self.assertEqual(guard.check().outcome, "changed")
        self.assert_context_is_whole()

    def test_freed_and_moved_tensors_are_changed(self) -> None:
        guard = self.guarded()
        self.engine.free(self.weight.data_ptr())
        self.assertEqual([c.what for c in guard.changed()], ["is not mapped"])
        self.weight._storage = Storage(self.engine.allocate(self.weight.data), len(self.weight.data))
        with self.assertRaisesRegex(Changed, "moved to another address"):
            guard.verify()
        self.assertTrue(guard.baseline().ok)
        self.assertTrue(guard.verify().ok)

    def test_writes_growth_and_replacement_are_changed_not_damaged(self) -> None:
        module = Module({"weight": self.weight, "bias": Tensor(self.engine, some_bytes(40))})
        guard = Guard.from_module(module)
        self.addCleanup(guard.close)
        guard.baseline()
        self.weight._version += 1
        self.engine.write(self.weight.data_ptr(), b"new bytes")
        self.assertEqual([(c.tensor, c.what) for c in guard.changed()], [("weight", "was written")])
        self.assertEqual(guard.check().outcome, "changed")
        guard.baseline()
        module.parameters["bias"] = Tensor(self.engine, some_bytes(44))
        self.assertRegex(guard.changed()[0].what, "has 44 bytes instead of 40")
        del module.parameters["bias"]
        module.parameters["extra"] = self.weight
        self.assertEqual([(c.tensor, c.what) for c in guard.changed()], [("extra", "is new"), ("bias", "is gone")])

    def test_a_write_while_the_guard_measures_is_changed(self) -> None:
        true = hasher.Hasher.run
        for damaged, written_in in ((False, 1), (True, 1), (True, 2)):
            with self.subTest(damaged=damaged, written_in=written_in):
                guard, runs = self.guarded(), []

                def run(this: hasher.Hasher, *arguments: Any, runs: List[int] = runs, last: int = written_in) -> bytes:
                    combined = true(this, *arguments)
                    runs.append(len(runs) + 1)
                    self.weight._version += runs[-1] == last
                    return combined

                if damaged:
                    self.emulator.flip(self.weight.data_ptr())
                with patch.object(hasher.Hasher, "run", run), self.assertRaises(Changed):
                    guard.verify()
                self.assertEqual(runs[-1], written_in)

    def test_tensors_that_outgrew_the_guard_need_a_new_one(self) -> None:
        guard = self.guarded()
        self.weight._storage = Storage(self.engine.allocate(bytes(100 * 4096)), 100 * 4096)
        self.weight.shape = (100 * 1024,)
        with self.assertRaisesRegex(InvalidInput, "build a new guard"):
            guard.baseline()

    def test_a_module_that_is_gone_is_changed_and_was_not_kept_alive(self) -> None:
        module = Module({"weight": self.weight})
        guard = Guard.from_module(module)
        self.addCleanup(guard.close)
        guard.baseline()
        del module
        gc.collect()
        self.assertEqual([c.what for c in guard.changed()], ["is gone"])

    def test_out_of_memory_at_construction_leaves_nothing(self) -> None:
        self.emulator.configure("usedByOthers=4294900000")
        before = self.emulator.state()["usedBytes"]
        with self.assertRaisesRegex(Unavailable, "too little GPU memory"):
            Guard({"weight": self.weight})
        self.assertEqual(self.emulator.state()["usedBytes"], before)
        self.assert_only_the_engines()
        self.assert_context_is_whole()

    def test_every_driver_call_of_a_construction_can_fail_and_nothing_is_left(self) -> None:
        before = self.emulator.state()["calls"]
        Guard({"weight": self.weight}).close()
        after = self.emulator.state()["calls"]
        called = {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}
        for harmless in ("cuGetErrorName", "cuGetErrorString"):
            called.pop(harmless, None)
        self.assertGreater(len(called), 20)
        for name, count in called.items():
            for nth in {1, count}:
                with self.subTest(call=name, nth=nth):
                    self.emulator.reset()
                    self.engine = Engine()
                    self.weight = Tensor(self.engine, self.weight.data)
                    self.emulator.fail_call(name, nth, 719)
                    guard = None
                    with self.assertRaises(Unavailable):
                        guard = Guard({"weight": self.weight})
                        guard.close()
                    if guard is not None:  # it was the release that failed
                        guard.close()
                    self.assert_only_the_engines()
                    self.assertEqual(self.engine.current_context(), self.engine.context)


class FailureTest(HarmCase):
    def test_a_call_that_fails_in_the_middle_leaves_the_engine_as_it_was(self) -> None:
        guard = self.guarded()
        before = self.emulator.state()["calls"]
        guard.verify()
        after = self.emulator.state()["calls"]
        for name in sorted(name for name in after if after[name] > before.get(name, 0)):
            with self.subTest(call=name):
                self.emulator.fail_call(name, 1, 719)
                with self.assertRaises(DriverFailure) as caught:
                    guard.verify()
                self.assertEqual((caught.exception.call, caught.exception.name), (name, "CUDA_ERROR_LAUNCH_FAILED"))
                self.assertEqual(self.engine.current_context(), self.engine.context)
                self.test_mode_is_strict()
                self.assertTrue(guard.verify().ok)

    def test_mode_is_strict(self) -> None:
        stream = self.engine.stream()
        self.engine.begin_capture(stream)
        self.engine.result("cuStreamQuery", stream)
        self.assertEqual(self.engine.end_capture(stream)[0], 901)

    def test_an_interrupt_in_the_middle_waits_for_the_gpu_and_leaves_the_guard_usable(self) -> None:
        guard = self.guarded()

        def interrupted(*_: Any) -> None:
            raise KeyboardInterrupt

        waits = self.emulator.calls("cuStreamSynchronize")
        with patch.object(hasher.Hasher, "_hash_roots", interrupted), self.assertRaises(KeyboardInterrupt):
            guard.verify()
        self.assertEqual(self.emulator.calls("cuStreamSynchronize"), waits + 1)
        self.assertEqual(self.engine.current_context(), self.engine.context)
        self.assertTrue(guard.verify().ok)

    def test_a_lost_device_is_no_verdict_and_close_still_ends(self) -> None:
        guard = self.guarded()
        self.emulator.lose_device(0)
        self.assertEqual(guard.check().outcome, "unavailable")
        with self.assertRaises(DriverFailure):
            guard.close()
        guard.close()

    def test_another_thread_is_refused_unless_it_was_allowed(self) -> None:
        for any_thread, outcome in ((False, WrongThread), (True, None)):
            guard, raised = self.guarded(any_thread=any_thread), []

            def call(guard: Guard = guard, raised: list = raised) -> None:
                try:
                    guard.verify()
                    raised.append(None)
                except WrongThread as error:
                    raised.append(type(error))

            thread = threading.Thread(target=call)
            thread.start()
            thread.join(20)
            self.assertEqual(raised, [outcome])

    def test_after_close_everything_is_given_back_and_calls_are_refused(self) -> None:
        guard = self.guarded()
        guard.close()
        guard.close()
        self.assert_only_the_engines()
        with self.assertRaisesRegex(InvalidInput, "after close"):
            guard.verify()

    def test_a_guard_that_nobody_holds_gives_its_memory_back(self) -> None:
        Guard({"weight": self.weight}).baseline()
        gc.collect()
        self.assert_only_the_engines()
