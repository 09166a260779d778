"""Never harm: captures, streams, memory that goes away, failures in the middle. The engine has to find everything as it was."""
from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from typing import Any, Callable
from unittest.mock import patch

from vram_residency import Busy, Changed, Damaged, DriverFailure, Forked, Guard, InvalidInput, Suspended, Unavailable, WrongThread
from vram_residency import hasher

from .emulator import LIBRARY, MIB, STREAM_BLOCKING, EmulatedCase, Engine
from .standin import Module, Storage, Tensor, model_of, some_bytes

CAPTURED_WORK = 2


class HarmCase(EmulatedCase):
    def setUp(self) -> None:
        super().setUp()
        self.weight = Tensor(self.engine, some_bytes(5 * 4096 + 16))

    def guarded(self, model: Any = None, **options: Any) -> Guard:
        guard = Guard({"weight": self.weight} if model is None else model, **options)
        self.addCleanup(guard.close)
        guard.baseline()
        return guard

    def assert_context_is_whole(self) -> None:
        self.engine.call("cuCtxSynchronize")
        self.assertEqual(self.emulator.state()["lastFault"], "")


class CaptureTest(HarmCase):
    def captured(self, stream: int, during: Callable[[], None]) -> None:
        """A capture that has to end well, with the engine's work and nothing else in it."""
        self.engine.begin_capture(stream)
        self.engine.fill_later(self.weight.data_ptr(), 0, 16, stream)
        during()
        self.engine.fill_later(self.weight.data_ptr(), 0, 16, stream)
        self.assertEqual(self.engine.end_capture(stream), (0, CAPTURED_WORK))

    def assert_busy(self, guard: Guard) -> None:
        launches = self.emulator.calls("cuLaunchKernel")
        with self.assertRaises(Busy):
            guard.verify()
        with self.assertRaises(Busy):
            guard.baseline()
        self.assertEqual(self.emulator.calls("cuLaunchKernel"), launches)

    def test_a_capture_in_a_named_stream_is_busy_and_stays_whole(self) -> None:
        stream = self.engine.stream()
        guard = self.guarded(streams=[stream])
        self.captured(stream, lambda: self.assert_busy(guard))
        self.assertTrue(guard.verify().ok)

    def test_a_capture_in_any_blocking_stream_is_busy_and_stays_whole(self) -> None:
        guard = self.guarded()
        self.captured(self.engine.stream(STREAM_BLOCKING), lambda: self.assert_busy(guard))
        self.assertTrue(guard.verify().ok)

    def test_a_capture_that_nobody_named_stays_whole_beside_a_verification(self) -> None:
        guard = self.guarded()
        self.captured(self.engine.stream(), lambda: self.assertTrue(guard.verify().ok))

    def test_a_capture_on_another_thread_stays_whole_beside_a_verification(self) -> None:
        guard, stream = self.guarded(), self.engine.stream()
        begun, verified = threading.Event(), threading.Event()
        ended = []

        def capture() -> None:
            self.engine.call("cuCtxSetCurrent", self.engine.context)
            self.engine.begin_capture(stream)
            self.engine.fill_later(self.weight.data_ptr(), 0, 16, stream)
            begun.set()
            verified.wait(10)
            ended.append(self.engine.end_capture(stream))

        thread = threading.Thread(target=capture)
        thread.start()
        self.assertTrue(begun.wait(10))
        try:
            self.assertTrue(guard.verify().ok)
        finally:
            verified.set()
            thread.join(10)
        self.assertEqual(ended, [(0, 1)])

    def test_releasing_a_guard_during_a_capture_leaves_it_whole(self) -> None:
        guard = self.guarded()
        self.captured(self.engine.stream(), guard.close)

    def test_the_threads_capture_mode_is_as_before(self) -> None:
        guard, stream = self.guarded(), self.engine.stream()
        guard.verify()
        self.engine.begin_capture(stream)
        self.assertEqual(self.engine.result("cuStreamSynchronize", self.engine.stream()), 900)  # still the strict mode
        self.assertEqual(self.engine.end_capture(stream)[0], 901)


class StreamTest(HarmCase):
    def test_a_run_waits_for_work_in_a_named_and_in_every_blocking_stream(self) -> None:
        named, blocking = self.engine.stream(), self.engine.stream(STREAM_BLOCKING)
        for value, stream in ((0x55, named), (0x66, blocking)):
            with self.subTest(stream=stream):
                guard = self.guarded(streams=lambda: [named])
                self.engine.fill_later(self.weight.data_ptr(), value, 4096, stream)
                with self.assertRaises(Damaged):  # by a raw write that PyTorch's count does not see
                    guard.verify()

    def test_a_baseline_waits_for_a_side_stream_that_nobody_named(self) -> None:
        self.engine.fill_later(self.weight.data_ptr(), 0x55, 4096, self.engine.stream())
        guard = self.guarded()
        self.assertTrue(guard.verify().ok)

    def test_a_verification_leaves_the_engines_context_current_and_its_streams_alone(self) -> None:
        guard, side = self.guarded(), self.engine.stream()
        self.engine.fill_later(self.weight.data_ptr(), 0x55, 4096, side)
        waits = self.emulator.calls("cuCtxSynchronize")
        self.assertTrue(guard.verify().ok)  # the write is still to come
        self.assertEqual(self.emulator.calls("cuCtxSynchronize"), waits)
        self.assertEqual(self.engine.current_context(), self.engine.context)

    def test_streams_that_are_none_are_refused(self) -> None:
        guard = Guard({"weight": self.weight}, streams=["main"])
        self.addCleanup(guard.close)
        with self.assertRaisesRegex(InvalidInput, "streams must be"):
            guard.baseline()


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
        with patch("tests.emulator.READ_WRITE", 0):
            mapped.sleep()
            mapped.wake()
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
        guard = self.guarded()
        true = hasher.Hasher.run

        def run(this: hasher.Hasher, *arguments: Any) -> bytes:
            combined = true(this, *arguments)
            self.weight._version += 1
            return combined

        self.emulator.flip(self.weight.data_ptr())
        with patch.object(hasher.Hasher, "run", run), self.assertRaises(Changed):
            guard.verify()

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


class ProcessTest(HarmCase):
    def test_a_forked_child_is_told_and_touches_nothing(self) -> None:
        guard = self.guarded()
        before = self.emulator.state()["calls"]
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            said = "nothing"
            try:
                guard.verify()
            except Forked:
                guard.close()
                said = "forked" if self.emulator.state()["calls"] == before else "called the driver"
            finally:
                os.write(write, said.encode())
                os._exit(0)
        os.close(write)
        self.assertEqual(os.read(read, 100), b"forked")
        os.close(read)
        os.waitpid(child, 0)
        self.assertTrue(guard.verify().ok)

    def test_interpreter_exit_with_a_live_guard_calls_the_driver_no_more(self) -> None:
        program = (
            "import atexit, sys\n"
            "from tests.emulator import Emulator, Engine\n"
            "from tests.standin import Tensor, some_bytes\n"
            "from vram_residency import Guard\n"
            "emulator = Emulator(); engine = Engine()\n"
            "import weakref  # its exit hook runs after those registered later\n"
            "def count(): sys.stdout.write(str(sum(emulator.state()['calls'].values())) + '\\n')\n"
            "atexit.register(count)\n"
            "guard = Guard({'w': Tensor(engine, some_bytes(9000))}); guard.baseline(); guard.verify()\n"
            "count()\n"
            "sys.modules['kept'] = guard\n"
        )
        environment = {**os.environ, "VRAM_RESIDENCY_LIBCUDA": LIBRARY, "PYTHONPATH": os.pathsep.join(sys.path)}
        ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        at_the_end, at_exit = ended.stdout.split()
        self.assertEqual(at_the_end, at_exit)


class DevicesTest(EmulatedCase):
    settings = "devices=2"

    def test_each_device_has_a_guard_of_its_own_and_the_current_context_stays(self) -> None:
        other = Engine(1)
        tensor = Tensor(other, some_bytes(9000), device=1)
        self.engine.call("cuCtxSetCurrent", self.engine.context)
        with Guard({"weight": tensor}) as guard, Guard({"weight": Tensor(self.engine, some_bytes(50))}) as here:
            self.assertEqual((guard.device["index"], here.device["index"]), (1, 0))
            for one in (guard, here):
                one.baseline()
                self.assertTrue(one.verify().ok)
                self.assertEqual(self.engine.current_context(), self.engine.context)
            self.emulator.flip(tensor.data_ptr())
            self.assertEqual((guard.check().outcome, here.check().outcome), ("damaged", "clean"))
        self.assert_only_the_engines()

    def test_tensors_on_two_devices_are_refused_by_name(self) -> None:
        other = Engine(1)
        here, there = Tensor(self.engine, some_bytes(50)), Tensor(other, some_bytes(50), device=1)
        with self.assertRaisesRegex(InvalidInput, 'tensor "b" is on cuda:1, "a" on cuda:0'):
            Guard({"a": here, "b": there})
