#!/usr/bin/env python3
"""
Hardware kit, step guard: the guard over raw device memory laid out as a decoder's weights. What it costs, and what it
finds: a bit flipped through another mapping, a wrong page after sleep and wake, a graph capture that a verification
must not disturb.

Usage: guard_step.py [--device N] [--seconds S] [--bytes N]. Prints one JSON object. Exit codes: 0 passed, 1 a check
failed, 2 bad arguments, 3 no usable GPU.
"""
from __future__ import annotations

import ctypes
import hashlib
import sys
import time
from contextlib import ExitStack
from typing import Any, Callable, Dict, List, Tuple

import step

step.add_package_to_path()

from raw_memory import MIB, Mapped, RawTensor, read, write  # noqa: E402 - the package's path comes first
from vram_residency import Damaged, Guard, GuardError, InvalidInput, Report, Unavailable  # noqa: E402
from vram_residency.driver import STREAM_NON_BLOCKING, Driver, Handle, Int, Size, device_facts  # noqa: E402

NAME = "guard"
DEFAULT_BYTES = 16 * 10**9
ALIGNMENT = 512  # of what PyTorch's allocator gives
PIECE_BYTES = 16 * MIB  # read back at a time
MOST_READ_BACK = 1 << 30
SMALL_TENSORS = 128
SMALL_BYTES = 8192
PAGE_BYTES = 65536


class Weights:
    """A decoder's tensors, a mapping for each group of them, with bytes that differ from tensor to tensor."""

    def __init__(self, driver: Driver, device: int, byte_length: int, resources: ExitStack) -> None:
        """Errors: DriverFailure, for example where memory runs out."""
        self.tensors: Dict[str, RawTensor] = {}
        self.homes: Dict[str, Tuple[Mapped, int]] = {}
        groups: Dict[str, Dict[str, Tuple[int, ...]]] = {}
        for name, shape in step.decoder_shapes(byte_length).items():
            groups.setdefault(name.rpartition("attention")[0] or name.rpartition("feed")[0] or name, {})[name] = shape
        for group in groups.values():
            places, at = {}, 0
            for name, shape in group.items():
                places[name] = at
                at += -(-RawTensor(0, shape, device).nbytes() // ALIGNMENT) * ALIGNMENT
            home = Mapped(driver, device, at)
            resources.callback(home.free)
            for name, shape in group.items():
                self.tensors[name] = RawTensor(home.address + places[name], shape, device)
                self.homes[name] = home, places[name]
        for number, tensor in enumerate(self.tensors.values()):
            word = 0x9E3779B9 * (number + 1) & 0xFFFFFFFF
            driver.call("cuMemsetD32Async", tensor.data_ptr(), word, tensor.nbytes() // 4, None)
        driver.call("cuCtxSynchronize")

    @property
    def byte_length(self) -> int:
        return sum(tensor.nbytes() for tensor in self.tensors.values())


def read_back_and_hash(driver: Driver, weights: Weights) -> Tuple[float, int]:
    """Milliseconds and bytes of the way without a guard: a copy to the host and hashlib, tensor by tensor."""
    started, done = time.perf_counter(), 0
    for tensor in weights.tensors.values():
        digest = hashlib.sha256()
        for at in range(0, tensor.nbytes(), PIECE_BYTES):
            digest.update(read(driver, tensor.data_ptr() + at, min(PIECE_BYTES, tensor.nbytes() - at)))
        done += tensor.nbytes()
        if done >= MOST_READ_BACK:
            break
    return (time.perf_counter() - started) * 1e3, done


def measure(driver: Driver, guard: Guard, weights: Weights, seconds: float, device: int) -> Dict[str, Any]:
    """The guard's cost, and that of the way without it; milliseconds and bytes."""
    started = time.perf_counter()
    guard.baseline()
    figures: Dict[str, Any] = {
        "bytes": weights.byte_length,
        "tensors": len(weights.tensors),
        "guardBytes": guard.memory_bytes,
        "baselineMs": round((time.perf_counter() - started) * 1e3, 4),
    }
    verify_ms = step.median_ms(guard.verify, seconds / 4)
    figures.update(verifyMs=verify_ms, verifyMsPerGB=step.per_gb(verify_ms, weights.byte_length))
    ms, done = read_back_and_hash(driver, weights)
    figures.update(readbackMsPerGB=step.per_gb(ms, done), readbackBytes=done)
    figures["usPerTensor"] = cost_per_tensor(driver, seconds / 8, device)
    return figures


def cost_per_tensor(driver: Driver, seconds: float, device: int) -> float:
    """Microseconds: the same bytes as many tensors and as one."""
    home = Mapped(driver, device, SMALL_TENSORS * SMALL_BYTES)
    elements = SMALL_BYTES // 2
    small = {f"t{n}": RawTensor(home.address + n * SMALL_BYTES, (elements,), device) for n in range(SMALL_TENSORS)}
    whole = {"all": RawTensor(home.address, (SMALL_TENSORS * elements,), device)}
    try:
        with Guard(small) as many, Guard(whole) as one:
            many.baseline()
            one.baseline()
            spread = step.median_ms(many.verify, seconds) - step.median_ms(one.verify, seconds)
    finally:
        home.free()
    return round(spread * 1e3 / SMALL_TENSORS, 3)


def damaged(guard: Guard) -> Report:
    """Errors: AssertionError if the guard finds nothing."""
    try:
        guard.verify()
    except Damaged as error:
        return error.report
    raise AssertionError("the damage was not found")


def require(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def check_flip(guard: Guard, weights: Weights) -> str:
    name = list(weights.tensors)[-3]
    home, offset = weights.homes[name]
    byte = weights.tensors[name].nbytes() // 2
    home.flip(offset + byte, 0x08)
    report = damaged(guard)
    home.flip(offset + byte, 0x08)
    [finding] = report.findings
    require((finding.tensor, finding.block) == (name, byte // 4096), f"the wrong place was named: {finding.words()}")
    require(guard.verify().ok, "the repaired tensor does not verify")
    return finding.words()


def check_sleep_and_wake(driver: Driver, guard: Guard, weights: Weights) -> str:
    name = "layers.0.feed_forward.up"
    home, offset = weights.homes[name]
    saved = read(driver, home.address, home.byte_length)
    guard.suspend()
    home.sleep()
    home.wake()
    write(driver, home.address, saved)
    write(driver, home.address + offset, bytes(min(PAGE_BYTES, weights.tensors[name].nbytes())))
    guard.resume()
    report = damaged(guard)
    named = {finding.tensor for finding in report.findings}
    require(named == {name}, f"other tensors were named: {sorted(named)}")
    write(driver, home.address, saved)
    require(guard.verify().ok, "the restored tensor does not verify")
    return f"{report.damaged_blocks} blocks of {name}"


def check_unmapped(driver: Driver, guard: Guard, weights: Weights) -> str:
    """An engine that sleeps without telling: the guard has to notice before a kernel does."""
    home, _ = weights.homes["layers.0.feed_forward.up"]
    saved = read(driver, home.address, home.byte_length)
    home.sleep()
    outcome = guard.check().outcome
    home.wake()
    write(driver, home.address, saved)
    require(outcome == "changed", f"unmapped weights were {outcome}, not changed")
    driver.call("cuCtxSynchronize")
    require(guard.verify().ok, "the restored tensors do not verify")
    return outcome


def check_capture(driver: Driver, guard: Guard, stream: int, other: int, scratch: int) -> str:
    """Of the named stream: Busy. Of one that nobody named: verified beside it. Both graphs have to be whole."""
    for captured, busy in ((stream, True), (other, False)):
        driver.call("cuStreamBeginCapture_v2", captured, 0)
        driver.call("cuMemsetD32Async", scratch, 1, 4, captured)
        outcome = guard.check().outcome
        driver.call("cuMemsetD32Async", scratch, 2, 4, captured)
        graph, nodes = Handle(), Size()
        driver.call("cuStreamEndCapture", captured, ctypes.byref(graph))
        require(outcome == ("busy" if busy else "clean"), f"beside a capture the guard was {outcome}")
        driver.call("cuGraphGetNodes", graph, None, ctypes.byref(nodes))
        driver.call("cuGraphDestroy", graph)
        require(nodes.value == 2, f"the captured graph has {nodes.value} nodes, not 2")
    return "two graphs, both whole"


def require_usable(device: int) -> None:
    """Errors: Unavailable, InvalidInput."""
    device_facts(Driver(), device)


def run(device: int, seconds: float, byte_length: int) -> int:
    found: Dict[str, Any] = {}
    checks: Dict[str, str] = {}
    failed: List[str] = []
    with ExitStack() as resources:
        driver = Driver()
        context = driver.get(Handle, "cuDevicePrimaryCtxRetain", driver.get(Int, "cuDeviceGet", device))
        resources.callback(driver.call, "cuDevicePrimaryCtxRelease_v2", device)
        driver.call("cuCtxSetCurrent", context)
        stream, other = (driver.get(Handle, "cuStreamCreate", STREAM_NON_BLOCKING) for _ in range(2))
        for one in (stream, other):
            resources.callback(driver.call, "cuStreamDestroy_v2", one)
        weights = Weights(driver, device, byte_length, resources)
        scratch = Mapped(driver, device, MIB)
        resources.callback(scratch.free)
        guard = resources.enter_context(Guard(weights.tensors, streams=[stream]))
        found.update(device=guard.device)
        found.update(figures=measure(driver, guard, weights, seconds, device))
        tries: Dict[str, Callable[[], str]] = {
            "flipThroughAnotherMapping": lambda: check_flip(guard, weights),
            "sleepAndWake": lambda: check_sleep_and_wake(driver, guard, weights),
            "unmapped": lambda: check_unmapped(driver, guard, weights),
            "capture": lambda: check_capture(driver, guard, stream, other, scratch.address),
        }
        for name, check in tries.items():
            try:
                checks[name] = check()
            except (AssertionError, GuardError) as error:
                checks[name] = f"FAILED: {error}"
                failed.append(name)
    return step.finish(NAME, step.FAILED if failed else step.PASSED, checks=checks, failed=failed, **found)


def main() -> int:
    arguments = step.parse("guard_step.py", "The guard over raw device memory.", DEFAULT_BYTES)
    try:
        require_usable(arguments.device)
    except (Unavailable, InvalidInput) as error:
        print(f"guard_step.py: {error}", file=sys.stderr)
        return step.finish(NAME, step.NO_GPU, error=str(error))
    try:
        return run(arguments.device, arguments.seconds, arguments.bytes)
    except GuardError as error:
        print(f"guard_step.py: {error}", file=sys.stderr)
        return step.finish(NAME, step.FAILED, error=str(error))


if __name__ == "__main__":
    sys.exit(main())
