"""The package itself: what it contains, on what it runs, and what importing it does not do."""
from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Dict, List

import vram_residency
from vram_residency import kernels

from .emulator import LIBRARY, MISSING, REPOSITORY

PACKAGE = REPOSITORY / "clients/python"
OLDEST = (3, 9)
LONGEST_LINE = 125


def sources() -> List[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "build" not in path.relative_to(PACKAGE).parts)


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    paths = os.pathsep.join([str(PACKAGE / "src"), str(PACKAGE)])
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


class PackageTest(unittest.TestCase):
    def test_the_ptx_is_the_one_that_ships(self) -> None:
        self.assertEqual(kernels.shipped_ptx(), (REPOSITORY / "cuda/vram.ptx").read_bytes())

    def test_every_file_parses_as_python_3_9(self) -> None:
        self.assertGreater(len(sources()), 30)
        for path in sources():
            with self.subTest(path.name):
                ast.parse(path.read_text(), str(path), feature_version=OLDEST)

    def test_lines_have_at_most_125_columns_and_files_at_most_400_lines(self) -> None:
        for path in sources():
            lines = path.read_text().splitlines()
            self.assertLess(len(lines), 400, path)
            self.assertEqual([line for line in lines if len(line) > LONGEST_LINE], [], path)

    def test_versions_agree(self) -> None:
        project = (PACKAGE / "pyproject.toml").read_text()
        self.assertIn(f'version = "{vram_residency.__version__}"', project)
        self.assertIn(f'"version": "{vram_residency.__version__}"', (REPOSITORY / "package.json").read_text())
        self.assertIn('requires-python = ">=3.9"', project)
        self.assertNotRegex(project, r"(?m)^dependencies")

    def test_importing_needs_no_driver_and_imports_no_pytorch(self) -> None:
        names = sorted(path.stem for path in (PACKAGE / "src/vram_residency").glob("*.py") if path.stem != "__main__")
        program = "import sys\n" + "".join(f"import vram_residency.{name}\n" for name in names if name != "__init__")
        program += "print(sorted(m for m in sys.modules if m.split('.')[0] in ('torch', 'vllm', 'numpy')))"
        ended = run("-c", program, VRAM_RESIDENCY_LIBCUDA="/nonexistent")
        self.assertEqual((ended.stdout, ended.stderr), ("[]\n", ""))

    def test_every_public_name_has_a_docstring(self) -> None:
        for name in vram_residency.__all__:
            self.assertTrue(getattr(vram_residency, name).__doc__, name)
        for name, member in vars(vram_residency.Guard).items():
            if not name.startswith("_"):
                self.assertTrue(member.__doc__, name)

    def test_the_documents_name_only_what_exists(self) -> None:
        for document in (PACKAGE / "README.md", REPOSITORY / "docs/guard.md"):
            for name in set(re.findall(r"\bguard\.(\w+)\(", document.read_text())):
                self.assertTrue(hasattr(vram_residency.Guard, name), f"{document.name}: guard.{name}")


@unittest.skipIf(MISSING, MISSING)
class SelftestTest(unittest.TestCase):
    def selftest(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return run("-m", "vram_residency", "selftest", *arguments, **{"VRAM_RESIDENCY_LIBCUDA": LIBRARY, **environment})

    def test_a_right_gpu_is_ready(self) -> None:
        ended = self.selftest()
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        self.assertIn("known answers: right", ended.stdout)
        self.assertIn("test driver: this says nothing about a GPU", ended.stdout)
        self.assertTrue(ended.stdout.endswith("ready\n"))

    def test_each_way_to_be_unusable_has_its_exit_code(self) -> None:
        cases: Dict[str, object] = {
            "no NVIDIA driver was found": (3, {"VRAM_RESIDENCY_LIBCUDA": "/nonexistent"}),
            "CUDA 11.8": (3, {"VRAM_EMULATOR": "driverVersion=11080"}),
            "compute capability 6.0": (3, {"VRAM_EMULATOR": "major=6"}),
            "too little GPU memory": (3, {"VRAM_EMULATOR": "totalBytes=1000"}),
        }
        for said, (code, environment) in cases.items():  # type: ignore[misc]
            with self.subTest(said):
                ended = self.selftest("--json", **environment)
                self.assertEqual(ended.returncode, code)
                self.assertIn(said, ended.stdout)

    def test_misuse_is_one_line(self) -> None:
        for arguments in (("--device", "7"), ("--device", "x"), ("--loud",)):
            ended = self.selftest(*arguments)
            self.assertEqual((ended.returncode, ended.stdout), (2, ""))
            self.assertEqual(len(ended.stderr.splitlines()), 1)
