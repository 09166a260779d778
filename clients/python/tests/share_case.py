"""A worker that lends one model, for tests of those who borrow it."""
from __future__ import annotations

import os
import struct
from typing import Any, Callable
from unittest import mock

from vram_residency.driver import Driver
from vram_residency.share import Lease, connect
from vram_residency.share import client as share_client

from .emulator import LIBRARY, EmulatedCase
from .standin import some_bytes
from .worker import SharedMemory, Worker, manifest_of

BIAS = struct.pack("<5f", 1, 2, 3, 4, 5)
TENSORS = {
    "layer.weight": ("F32", [16, 64], some_bytes(4096, 3)),
    "layer.bias": ("F32", [5], BIAS),
    "scale": ("BF16", [], b"\x80\x3f"),
    "quantised": ("Q4_K", [256], some_bytes(144, 4)),
    "none": ("F32", [0, 3], b""),
}  # fmt: skip



class ShareCase(EmulatedCase):
    def setUp(self) -> None:
        super().setUp()
        # This worker tells no age by itself.
        waiting = mock.patch.object(share_client, "FIRST_AGE_SECONDS", 0)
        waiting.start()
        self.addCleanup(waiting.stop)
        self.descriptors = len(os.listdir("/proc/self/fd"))
        self.driver = Driver(LIBRARY)
        self.manifest, self.data = manifest_of(TENSORS)
        self.memory = SharedMemory(self.driver, self.data)
        self.worker = Worker(self.driver)
        self.addCleanup(self.worker.stop)
        self.before = self.emulator.live()

    def tearDown(self) -> None:
        self.worker.stop()
        if self.worker.failure is not None:
            raise self.worker.failure

    def lend(self, then: Callable[[], None] = lambda: None, **changes: Any) -> Lease:
        """A lease; the worker goes on with `then`."""

        def serve() -> None:
            self.worker.lend(self.memory, changes.pop("manifest", self.manifest), len(self.data), **changes)
            then()

        self.worker.start(serve)
        return connect(self.worker.path, client="tests").lend("m")

    def assert_nothing_left(self) -> None:
        self.assertEqual(self.emulator.live(), self.before)
