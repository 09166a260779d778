"""What both guard steps of the hardware kit share: arguments, exit codes, the JSON object, and the shapes of a decoder."""
from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NoReturn, Tuple

PASSED, FAILED, MISUSED, NO_GPU = 0, 1, 2, 3
GB = 1e9
HEAD_SIZE = 64
SIZES = (4096, 2048, 1024, 512, 256, 128, 64)
VOCABULARY = 8  # times the hidden size
FEED_FORWARD = 4  # times the hidden size
MAX_BYTES = 1 << 40
MAX_SECONDS = 3600


def add_package_to_path() -> None:
    """The package beside this folder, where it is not installed."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))


class _Arguments(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(MISUSED, f"{self.prog}: {message}\n")


def _between(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text)
        if not least <= value <= most:
            raise ValueError
        return value

    parse.__name__ = f"number from {least:g} to {most:g}"
    return parse


def parse(name: str, about: str, default_bytes: int) -> argparse.Namespace:
    parser = _Arguments(prog=name, description=about)
    parser.add_argument("--device", type=_between(0, 63), default=0, help="CUDA ordinal (default 0)")
    parser.add_argument("--seconds", type=_between(0.1, MAX_SECONDS), default=30.0, help="for the measurements (default 30)")
    parser.add_argument("--bytes", type=_between(1 << 20, MAX_BYTES), default=default_bytes, help="of weights")
    arguments = parser.parse_args()
    arguments.device, arguments.bytes = int(arguments.device), int(arguments.bytes)
    return arguments


def finish(name: str, code: int, **found: Any) -> int:
    """Prints the step's one JSON object."""
    print(json.dumps({"v": 1, "step": name, "ok": code == PASSED, **found}))
    return code


def decoder_shapes(byte_length: int, item: int = 2) -> Dict[str, Tuple[int, ...]]:
    """Names and shapes of a decoder's weights, of at most so many bytes (at least one layer of the smallest size)."""
    for hidden in SIZES:
        layer, head = _layer(hidden), {"embed": (hidden * VOCABULARY, hidden), "norm": (hidden,)}
        if _bytes([*layer.values()] * 4 + [*head.values()], item) <= byte_length:
            break
    layers = max(1, (byte_length - _bytes(head.values(), item)) // _bytes(layer.values(), item))
    shapes: Dict[str, Tuple[int, ...]] = dict(head)
    for number in range(layers):
        shapes.update({f"layers.{number}.{name}": shape for name, shape in layer.items()})
    return shapes


def _layer(hidden: int) -> Dict[str, Tuple[int, ...]]:
    wide = hidden * FEED_FORWARD
    square = {f"attention.{name}": (hidden, hidden) for name in ("q", "k", "v", "o")}
    return {
        **square,
        "attention_norm": (hidden,),
        "feed_forward.up": (wide, hidden),
        "feed_forward.down": (hidden, wide),
        "feed_forward_norm": (hidden,),
    }


def _bytes(shapes: Any, item: int) -> int:
    total = 0
    for shape in shapes:
        count = item
        for size in shape:
            count *= size
        total += count
    return total


def median_ms(work: Callable[[], Any], seconds: float, least: int = 3) -> float:
    """Of as many runs as fit, at least `least`; the first does not count."""
    work()
    times: List[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1e3)
    return round(statistics.median(times), 4)


def per_gb(ms: float, byte_length: int) -> float:
    """Milliseconds for 10^9 bytes."""
    return round(ms / (byte_length / GB), 4)
