"""python -m vram_residency selftest: checks that this GPU, driver and the package's PTX hash correctly together."""
from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Dict, List, NoReturn, Tuple

from . import __version__
from .driver import Driver
from .errors import InvalidInput, Unavailable, WrongHash
from .kernels import shipped_ptx
from .machine import Machine
from .scratch import KNOWN_BLOCKS, Layout, bytes_taken

RIGHT, WRONG, MISUSED, NO_GPU = 0, 1, 2, 3


class _Arguments(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(MISUSED, f"vram_residency: {message}\n")


def selftest(device: int) -> Tuple[int, Dict[str, Any]]:
    """Exit code and findings. Errors: InvalidInput for a device that does not exist."""
    found: Dict[str, Any] = {"v": 1, "version": __version__, "ptxBytes": len(shipped_ptx()), "ok": False}
    try:
        driver = Driver()
        found.update(library=driver.path, driver=driver.version_words, emulated=driver.emulated)
    except Unavailable as error:
        return NO_GPU, {**found, "error": str(error)}
    try:
        layout = Layout.of(1, KNOWN_BLOCKS)
        machine = Machine(device, layout, ())
        found.update(device=machine.facts, memoryBytes=bytes_taken(layout), blocksHashed=machine.hasher.leaves_hashed)
        machine.release()
    except Unavailable as error:
        return WRONG if isinstance(error, WrongHash) else NO_GPU, {**found, "error": str(error)}
    return RIGHT, {**found, "ok": True}


def _words(found: Dict[str, Any]) -> List[str]:
    lines = [f"vram_residency {found['version']}, PTX of {found['ptxBytes']} bytes"]
    if "driver" in found:
        kind = " (the project's test driver: this says nothing about a GPU)" if found["emulated"] else ""
        lines.append(f"driver: CUDA {found['driver']}, {found['library']}{kind}")
    if "device" in found:
        facts = found["device"]
        lines.append(f"GPU {facts['index']}: {facts['name']}, compute capability {facts['capability']}, {facts['uuid']}")
        lines.append(f"known answers: right, {found['blocksHashed']} blocks, with one changed bit seen")
    return lines + [f"not usable: {found['error']}" if "error" in found else "ready"]


def main(argv: List[str]) -> int:
    parser = _Arguments(prog="python -m vram_residency", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    words = "driver, GPU, known answers; exit 0 right, 1 wrong hashes, 3 no usable GPU"
    command = commands.add_parser("selftest", help=words)
    command.add_argument("--device", type=int, default=0, help="CUDA ordinal (default 0)")
    command.add_argument("--json", action="store_true", help="one JSON document instead of words")
    arguments = parser.parse_args(argv)
    try:
        code, found = selftest(arguments.device)
    except InvalidInput as error:
        parser.error(str(error))
    print(json.dumps(found, indent=2) if arguments.json else "\n".join(_words(found)))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
