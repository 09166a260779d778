"""The programs in the documents run, each with a guard that has a baseline, over the test driver and stand-ins."""
from __future__ import annotations

import contextlib
import io
import re
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List

from vram_residency import Guard
from vram_residency.vllm import GuardExtension

from .emulator import MIB, REPOSITORY, EmulatedCase
from .standin import Module, Storage, Tensor, some_bytes


class DocumentsTest(EmulatedCase):
    def setUp(self) -> None:
        super().setUp()
        self.mapped = self.engine.map(2 * MIB)
        self.data = some_bytes(self.mapped.byte_length)
        self.engine.write(self.mapped.address, self.data)
        storage = Storage(self.mapped.address, self.mapped.byte_length)
        self.tensor = Tensor(self.engine, storage=storage, byte_length=self.mapped.byte_length)
        self.model = Module({"weight": self.tensor})

    def sleep(self, level: int = 1) -> None:
        self.mapped.sleep()

    def wake_up(self) -> None:
        self.mapped.wake()
        self.engine.write(self.mapped.address, self.data)

    def update_weights(self) -> None:
        self.tensor._version += 1
        self.engine.write(self.mapped.address, b"newer")

    def collective_rpc(self, method: str) -> List[Any]:
        return [getattr(self.worker, method)()]

    def names(self) -> Dict[str, Any]:
        """What the documents take as given."""
        self.worker = type("Worker", (GuardExtension,), {})()
        self.worker.model_runner = SimpleNamespace(model=self.model)
        self.addCleanup(lambda: getattr(self.worker, "_vram_guard", SimpleNamespace(close=lambda: None)).close())
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        manifest = Path(folder.name) / "manifest.json"
        with Guard.from_module(self.model) as guard:
            guard.baseline()
            manifest.write_text(guard.manifest())
        return {
            "model": self.model, "engine": self, "llm": self, "manifest_path": manifest,
            "requests": range(3), "serve": lambda request: None,
        }  # fmt: skip

    def run_blocks(self, path: Path) -> Dict[str, Any]:
        blocks = re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
        self.assertTrue(blocks)
        names = self.names()
        for number, block in enumerate(blocks):
            self.engine.write(self.mapped.address, self.data)
            given = names["guard"] = Guard.from_module(self.model)
            given.baseline()
            with self.subTest(document=path.name, block=number), contextlib.redirect_stdout(io.StringIO()):
                exec(compile(block, f"{path.name} block {number}", "exec"), names)
            given.close()
            names["guard"].close()
        return names

    def test_docs_guard_md(self) -> None:
        names = self.run_blocks(REPOSITORY / "docs/guard.md")
        self.assertEqual([report["outcome"] for report in names["reports"]], ["clean"])
        self.assertIn('model="llama"', names["text"])

    def test_readme_of_the_repository(self) -> None:
        self.run_blocks(REPOSITORY / "README.md")

    def test_readme(self) -> None:
        self.run_blocks(REPOSITORY / "clients/python/README.md")
