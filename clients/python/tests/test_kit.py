"""The hardware kit's guard steps over the test driver: what they print, and that a guard that finds nothing fails them."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import unittest
from typing import Any, Dict, Tuple

from .emulator import LIBRARY, MISSING, REPOSITORY

KIT = REPOSITORY / "clients/python/kit"
BLIND = (
    "import sys, runpy\n"
    "sys.path[:0] = [{kit!r}, {src!r}]\n"
    "import vram_residency.{module} as module\n"
    "{change}\n"
    "sys.argv = ['guard_step.py', '--seconds', '0.1', '--bytes', '2000000']\n"
    "runpy.run_path({program!r}, run_name='__main__')\n"
)


def run(*arguments: str, **environment: str) -> Tuple[int, Dict[str, Any], str]:
    ended = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "VRAM_RESIDENCY_LIBCUDA": LIBRARY, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return ended.returncode, json.loads(ended.stdout) if ended.stdout else {}, ended.stderr


@unittest.skipIf(MISSING, MISSING)
class GuardStepTest(unittest.TestCase):
    program = str(KIT / "guard_step.py")

    def blind(self, module: str, change: str) -> Dict[str, Any]:
        source = str(REPOSITORY / "clients/python/src")
        text = BLIND.format(kit=str(KIT), src=source, module=module, change=change, program=self.program)
        code, found, _ = run("-c", text)
        self.assertEqual(code, 1)
        return found

    def test_it_passes_with_its_figures(self) -> None:
        code, found, said = run(self.program, "--seconds", "0.2", "--bytes", "2000000")
        self.assertEqual((code, said), (0, ""))
        self.assertEqual((found["v"], found["step"], found["ok"], found["failed"]), (1, "guard", True, []))
        self.assertEqual(set(found["checks"]), {"flipThroughAnotherMapping", "sleepAndWake", "unmapped", "capture"})
        for figure in ("bytes", "tensors", "baselineMs", "verifyMs", "verifyMsPerGB", "readbackMsPerGB", "usPerTensor"):
            self.assertGreater(found["figures"][figure], 0, figure)

    def test_a_guard_that_finds_nothing_fails_it(self) -> None:
        change = "import vram_residency.guard as guard\nguard.compare = lambda *_: module.Comparison()"
        found = self.blind("comparison", change)
        self.assertEqual(found["failed"], ["flipThroughAnotherMapping", "sleepAndWake"])

    def test_a_guard_that_waits_for_the_context_fails_it(self) -> None:
        found = self.blind("machine", "module.Machine.wait_for_streams = module.Machine.wait_for_context")
        self.assertEqual(found["failed"], ["capture"])

    def test_a_guard_that_reads_unmapped_memory_fails_it(self) -> None:
        found = self.blind("ranges", "import vram_residency.guard as guard\nguard.unreadable = lambda *_: []")
        self.assertIn("unmapped", found["failed"])

    def test_without_a_gpu_and_misused(self) -> None:
        code, found, said = run(self.program, VRAM_RESIDENCY_LIBCUDA="/nonexistent")
        self.assertEqual((code, found["ok"], said.count("\n")), (3, False, 1))
        self.assertEqual(run(self.program, "--device", "3")[0], 3)
        for arguments in (("--bytes", "1"), ("--seconds", "none"), ("--fast",)):
            code, found, said = run(self.program, *arguments)
            self.assertEqual((code, found, said.count("\n")), (2, {}, 1))


class GuardTorchStepTest(unittest.TestCase):
    def test_without_pytorch_on_cuda_it_says_so(self) -> None:
        code, found, said = run(str(KIT / "guard_torch_step.py"))
        self.assertEqual((code, found["step"], found["ok"]), (3, "guard-torch", False))
        self.assertRegex(found["error"], "PyTorch")
        self.assertEqual(said.count("\n"), 1)
