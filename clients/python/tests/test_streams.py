"""Never harm, part one: graph captures and streams. The engine has to find everything as it was."""
from __future__ import annotations

import threading
from typing import Callable

from vram_residency import Busy, Damaged, Guard, InvalidInput

from .emulator import STREAM_BLOCKING
from .harm_case import HarmCase

CAPTURED_WORK = 2


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
        side = self.engine.stream()
        self.engine.fill_later(self.weight.data_ptr(), 0x55, 4096, side)
        guard = self.guarded()
        self.engine.call("cuStreamSynchronize", side)
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
