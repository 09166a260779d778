"""A guard beside an engine: what the tests of harm start from."""
from __future__ import annotations

from typing import Any

from vram_residency import Guard

from .emulator import EmulatedCase
from .standin import Tensor, some_bytes


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
