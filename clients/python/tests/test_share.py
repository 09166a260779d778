"""Weights that a worker lends: what is taken, and when computing on them must stop."""
from __future__ import annotations

import ctypes
import os
import threading
from unittest import mock

from kit.raw_memory import write
from vram_residency.errors import DriverFailure, InvalidInput
from vram_residency.share import Disconnected, InUse, Lease, Paused, ProtocolFailure, Revoked, Stale
from vram_residency.share import clock as share_clock
from vram_residency.share import lease as share_lease
from vram_residency.share.dlpack import Managed, ManagedVersioned

from .share_case import BIAS, TENSORS, ShareCase

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


class FakeTime:
    """In place of the lease's clock."""

    def __init__(self) -> None:
        self.ms = 1000.0

    def __call__(self) -> float:
        return self.ms


class LendTest(ShareCase):
    def test_tensors_are_the_memory_of_the_worker_and_follow_it(self) -> None:
        with self.lend() as lease:
            self.assertEqual(self.worker.heard[0], {"type": "hello", "versions": [1], "client": "tests"})
            self.assertEqual(self.worker.heard[1], {"type": "lend", "model": "m"})
            self.assertEqual(self.worker.heard[2], {"type": "received", "shardId": "s"})
            self.assertEqual(list(lease.tensors), list(TENSORS))
            for name, (dtype, shape, content) in TENSORS.items():
                tensor = lease[name]
                self.assertEqual((tensor.dtype, list(tensor.shape), tensor.nbytes), (dtype, shape, len(content)))
                self.assertEqual(bytes(tensor.buffer()), content)
            # The worker's own memory, not a copy of it.
            self.emulator.flip(self.memory.address, 1)
            first = TENSORS["layer.weight"][2][0]
            self.assertEqual(lease["layer.weight"].buffer()[0], first ^ 1)
        self.worker.stop()
        self.assert_nothing_left()

    def test_the_driver_refuses_a_write(self) -> None:
        with self.lend() as lease:
            mapping = lease.shards[0].mapping
            with self.assertRaises(DriverFailure):
                write(self.driver, mapping.address, b"changed")
            self.assertEqual(lease["layer.weight"].buffer()[:7], TENSORS["layer.weight"][2][:7])
            with self.assertRaises(TypeError):
                lease["layer.bias"].buffer()[0] = 1  # type: ignore[index]

    def test_dlpack_carries_address_type_shape_and_the_read_only_flag(self) -> None:
        with self.lend() as lease:
            tensor = lease["layer.weight"]
            self.assertEqual(tensor.__dlpack_device__(), (1, 0))
            old = tensor.__dlpack__()
            managed = Managed.from_address(_pointer(old, b"dltensor")).tensor
            new = tensor.__dlpack__(max_version=(1, 1))
            versioned = ManagedVersioned.from_address(_pointer(new, b"dltensor_versioned"))
            self.assertEqual((versioned.major, versioned.minor, versioned.flags), (1, 0, 1))
            for described in (managed, versioned.tensor):
                self.assertEqual(described.shape[: described.ndim], [16, 64])
                self.assertEqual(described.strides[: described.ndim], [64, 1])
                self.assertEqual((described.dtype.code, described.dtype.bits, described.dtype.lanes), (2, 32, 1))
                self.assertEqual(ctypes.string_at(described.data, 4096), TENSORS["layer.weight"][2])
            with self.assertRaises(BufferError):
                tensor.__dlpack__(copy=True)
            with self.assertRaises(BufferError):
                tensor.__dlpack__(dl_device=(2, 0))
            with self.assertRaises(InvalidInput):
                lease["quantised"].__dlpack__()
            self.assertEqual(bytes(lease["quantised"].raw.buffer()), TENSORS["quantised"][2])
            with self.assertRaises(AttributeError):
                tensor.__cuda_array_interface__
            with self.assertRaises(InUse):
                lease.close()
            del old, new, managed, versioned, described

    def test_the_cuda_array_interface_is_read_only(self) -> None:
        with self.lend() as lease:
            mapping = lease.shards[0].mapping
            with mock.patch.object(mapping, "host", None):
                said = lease["layer.bias"].__cuda_array_interface__
                self.assertEqual(said["data"], (mapping.address + 4096, True))
                self.assertEqual((said["shape"], said["typestr"], said["version"]), ((5,), "<f4", 3))
                self.assertEqual(lease["layer.bias"].__dlpack_device__(), (2, 0))
                with self.assertRaises(AttributeError):
                    lease["scale"].__cuda_array_interface__
                with self.assertRaises(InvalidInput):
                    lease["layer.bias"].buffer()

    def test_what_was_taken_from_a_tensor_keeps_the_mapping(self) -> None:
        lease = self.lend(lambda: self.worker.hear() and None)
        kept = lease["layer.bias"].buffer()
        with self.assertRaises(InUse) as raised:
            lease.close()
        self.assertEqual(raised.exception.exports, 1)
        self.assertEqual(bytes(kept), BIAS)
        del kept
        lease.close()
        lease.close()
        self.worker.stop()
        self.assertEqual(self.worker.heard[-1], {"type": "end"})
        self.assert_nothing_left()

    def test_no_descriptor_stays_open(self) -> None:
        self.lend().close()
        self.worker.stop()
        # The worker's memory has one of its own.
        self.memory.free()
        self.assertLessEqual(len(os.listdir("/proc/self/fd")), self.descriptors)


class CheckTest(ShareCase):
    def setUp(self) -> None:
        super().setUp()
        self.now = FakeTime()
        for module in (share_clock, share_lease):
            patched = mock.patch.object(module, "now_ms", self.now)
            patched.start()
            self.addCleanup(patched.stop)

    def borrow(self) -> Lease:
        lease = self.lend()
        assert self.worker._thread is not None
        self.worker._thread.join(10)
        self.addCleanup(lease.close)
        return lease

    def verified(self, age_ms: int) -> None:
        self.worker.say({"type": "verified", "shardId": "s", "ageMs": age_ms})

    def test_silence_makes_ages_grow_until_the_check_fails(self) -> None:
        lease = self.borrow()
        with self.assertRaises(Stale) as raised:
            lease.check(1e9)
        self.assertIsNone(raised.exception.age_ms)
        self.verified(200)
        lease.check(1000)
        self.now.ms += 800
        lease.check(1000)
        self.now.ms += 1
        with self.assertRaises(Stale) as raised:
            lease.check(1000)
        self.assertEqual((raised.exception.age_ms, raised.exception.shard_id), (1001, "s"))
        self.verified(0)
        lease.check(1000)
        with self.assertRaises(InvalidInput):
            lease.check(float("nan"))

    def test_the_first_age_is_waited_for(self) -> None:
        with mock.patch("vram_residency.share.client.FIRST_AGE_SECONDS", 5):
            lease = self.lend(lambda: self.verified(3))
        self.addCleanup(lease.close)
        lease.check(3)

    def test_a_process_that_was_stopped_does_not_take_old_words_for_new(self) -> None:
        lease = self.borrow()
        self.verified(0)
        lease.check(1000)
        self.verified(0)  # comes while this process is stopped, for an hour
        self.now.ms += 3_600_000
        with self.assertRaises(Stale):
            lease.check(10_000)
        self.verified(0)
        lease.check(10_000)

    def test_revoked_ends_it_for_good(self) -> None:
        lease = self.borrow()
        self.verified(0)
        self.worker.say({"type": "revoked", "reason": "damaged"})
        for _ in range(2):
            with self.assertRaises(Revoked) as raised:
                lease.check(1e9)
            self.assertEqual(raised.exception.reason, "damaged")

    def test_a_revocation_that_got_lost_with_its_worker_is_an_end_too(self) -> None:
        lease = self.borrow()
        self.verified(0)
        lease.check(1000)
        self.worker.hang_up()
        for _ in range(2):
            with self.assertRaises(Disconnected):
                lease.check(1e9)

    def test_a_pause_is_answered_when_the_device_is_done_and_waited_for(self) -> None:
        lease = self.borrow()
        self.verified(0)
        self.worker.say({"type": "pause", "n": 7})
        waits = self.emulator.calls("cuCtxSynchronize")

        def heal() -> None:
            self.worker.hear()
            self.assertEqual(self.emulator.calls("cuCtxSynchronize"), waits + 1)
            self.worker.say({"type": "resume", "n": 7})
            self.verified(0)

        self.worker._thread = threading.Thread(target=heal)
        self.worker._thread.start()
        try:
            lease.check(1000)
        except Stale:  # the resume came before the new age
            self.worker._thread.join(10)
            lease.check(1000)
        self.assertEqual(self.worker.heard[-1], {"type": "paused", "n": 7})
        self.assertEqual(lease.pauses, 1)

    def test_a_pause_without_end_is_told(self) -> None:
        lease = self.borrow()
        self.worker.say({"type": "pause", "n": 1})
        with mock.patch.object(share_lease, "now_ms", share_clock.time.monotonic):
            with self.assertRaises(Paused):
                lease.check(1e9, pause_timeout_ms=0.05)

    def test_ages_from_before_a_pause_do_not_count(self) -> None:
        lease = self.borrow()
        self.verified(0)
        lease.check(1000)
        self.worker.say({"type": "pause", "n": 1})
        self.worker.say({"type": "resume", "n": 1})
        lease.check(1000)  # over before it was heard of: nothing to answer
        self.assertEqual(lease.pauses, 0)

    def test_words_that_do_not_belong_here_end_it(self) -> None:
        lease = self.borrow()
        self.worker.say({"type": "welcome"})
        with self.assertRaises(ProtocolFailure):
            lease.check(1e9)
