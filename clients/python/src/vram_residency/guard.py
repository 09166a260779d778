"""The guard: hashes an engine's own CUDA tensors in place and reports when their bytes have changed."""
from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from .baseline import Baseline, LeafStore, leaf_bytes_of
from .changes import changes_since
from .comparison import Comparison, compare
from .errors import Changed, Damaged, GuardError, InvalidInput, Suspended, Transient, Unavailable, WrongThread
from .machine import Machine
from .manifest import Entry, parse_manifest, require_same_model, write_manifest
from .ranges import Range, ranges_of, unreadable
from .report import MAX_FINDINGS, Change, Finding, Report, Stats
from .scratch import Layout, bytes_taken
from .streams import Streams
from .tensors import NamedTensors, Source, TensorState, describe_all, source_of, source_of_module
from .tree import HASH_BYTES

LIMIT_BYTES = 16 << 20
LEAVES_PER_THOUSAND = 8  # of the guarded bytes, on top of the limit, where leaves are kept
KEEP = ("leaves", "roots")


class Guard:
    """
    Watches tensors of one device. Take baseline() when the weights are right, and verify() between steps, on the
    engine's thread.

    All memory is taken here: at most 16 MiB, and with keep='leaves' 0.8 % of the guarded bytes, which lie on the host.
    Runs use the engine's own context and a stream of their own; they never touch a capture, and verify() never waits
    for the whole context.
    """

    def __init__(
        self,
        named_tensors: NamedTensors,
        *,
        keep: str = "leaves",
        streams: Optional[Streams] = None,
        any_thread: bool = False,
    ) -> None:
        """
        `named_tensors`: a mapping or pairs; the guard keeps these tensors alive. `keep`: 'leaves' tells which block is
        damaged, 'roots' only which tensor. `streams`: the engine's, as handles or PyTorch's objects, or a function that
        gives them; without it PyTorch's current and default stream. `any_thread`: for modules that neither sleep nor
        update while a call runs. Errors: InvalidInput, Unavailable; nothing is left allocated then.
        """
        self._build(source_of(named_tensors), None, keep, streams, any_thread)

    @classmethod
    def from_module(
        cls, module: Any, *, keep: str = "leaves", streams: Optional[Streams] = None, any_thread: bool = False
    ) -> Guard:
        """Guards all parameters and buffers that a module has at each call, without keeping it alive. Errors: as above."""
        guard = cls.__new__(cls)
        guard._build(source_of_module(module), None, keep, streams, any_thread)
        return guard

    @classmethod
    def from_manifest(
        cls,
        manifest: Union[str, bytes],
        model: Any,
        *,
        keep: str = "leaves",
        streams: Optional[Streams] = None,
        any_thread: bool = False,
    ) -> Guard:
        """
        Compares with digests that were made elsewhere, instead of trusting what lies in memory first. `model`: a
        module, or named tensors. Errors: as above; InvalidInput with the first difference for a manifest of another
        model.
        """
        guard = cls.__new__(cls)
        source = source_of_module(model) if hasattr(model, "named_parameters") else source_of(model)
        guard._build(source, parse_manifest(manifest), keep, streams, any_thread)
        return guard

    def _build(
        self, source: Source, entries: Optional[List[Entry]], keep: str, streams: Optional[Streams], any_thread: bool
    ) -> None:
        if keep not in KEEP:
            raise InvalidInput(f"keep must be 'leaves' or 'roots', got {keep!r}")
        states = describe_all(source())
        if entries is not None:
            require_same_model(entries, states)
        ranges = ranges_of(states)
        leaf_bytes = leaf_bytes_of(ranges) if keep == "leaves" else 0
        layout = Layout.of(len(ranges), max((r.blocks for r in ranges), default=1))
        self.memory_bytes = bytes_taken(layout) + len(ranges) * HASH_BYTES + leaf_bytes
        limit = LIMIT_BYTES
        if keep == "leaves":
            limit += sum(r.byte_length for r in ranges) * LEAVES_PER_THOUSAND // 1000
        if self.memory_bytes > limit:
            raise Unavailable(f"a guard of these tensors would take {self.memory_bytes} bytes; {limit} is the limit")
        self.stats = Stats()
        self._source, self._entries, self._any_thread = source, entries, any_thread
        self._most_ranges = len(ranges)
        self._leaves = LeafStore(leaf_bytes) if keep == "leaves" else None
        self._lock, self._thread = threading.Lock(), threading.get_ident()
        self._suspended = self._closed = False
        self._baseline: Optional[Baseline] = None
        self._machine = Machine(states[0].device, layout, streams)

    @property
    def device(self) -> Dict[str, Any]:
        """Index, name, UUID, compute capability, CUDA version of the driver, and whether it is the project's test driver."""
        return dict(self._machine.facts)

    def baseline(self) -> Report:
        """
        Measures what later calls compare with. A guard from a manifest compares this measurement with the manifest.
        Waits for all work in the context: call it after loading or updating, not while another thread captures a graph.
        Errors: Damaged (against a manifest; without blocks), Transient, Changed, Busy, Suspended, WrongThread, Forked,
        Unavailable, InvalidInput.
        """
        with self._running("baseline") as run:
            return self._take_baseline(run)

    def verify(self) -> Report:
        """
        Hashes the tensors in place and compares on the host. Errors: Damaged, Transient; Changed if tensors moved, grew
        or were written through PyTorch since the baseline; Busy, Suspended, WrongThread, Forked, Unavailable;
        InvalidInput before baseline() (a guard from a manifest takes it itself).
        """
        with self._running("verify") as run:
            if self._baseline is None and self._entries is not None:
                return self._take_baseline(run)
            baseline = self._require_baseline()
            self._require_unchanged(baseline.states)
            self._machine.wait_for_streams()
            comparison = compare(self._machine.hasher, baseline, lambda: self._require_unchanged(baseline.states))
            return self._conclude(run, baseline.states, comparison)

    def check(self) -> Report:
        """
        verify() for loops: a verdict, or why there is none, is the report's outcome. Errors: InvalidInput, WrongThread,
        Forked.
        """
        try:
            return self.verify()
        except GuardError as error:
            if error.report is None:
                raise
            return error.report

    def changed(self) -> Tuple[Change, ...]:
        """What verify() would raise Changed for, without hashing. Errors: as verify(), without the verdicts."""
        with self._running("changed"):
            return tuple(self._changes(self._require_baseline().states))

    def suspend(self) -> None:
        """Call before the tensors sleep, move or are updated. Waits for a running call; then nothing touches the tensors."""
        with self._lock:
            self._suspended = True

    def resume(self) -> None:
        """The tensors are back. The baseline is still valid: verify() shows whether the bytes are the same."""
        with self._lock:
            self._suspended = False

    def manifest(self) -> str:
        """
        JSON with name, dtype, shape and fs-verity digest of each tensor at the baseline. Errors: InvalidInput before
        baseline().
        """
        with self._lock:
            return write_manifest(self._require_baseline().entries())

    def close(self) -> None:
        """Releases everything. Does nothing when repeated or in a forked child. Errors: DriverFailure."""
        with self._lock:
            self._closed = True
            self._machine.release()

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    @contextmanager
    def _running(self, operation: str) -> Iterator[_Run]:
        """What every run needs first; and the account of a run without a verdict, as the error's report."""
        self._machine.context.require_same_process()
        if not self._any_thread and threading.get_ident() != self._thread:
            raise WrongThread(f"{operation}() belongs on the thread that built the guard, unless any_thread is set")
        with self._lock:
            if self._closed:
                raise InvalidInput(f"{operation}() after close()")
            hasher = self._machine.hasher
            run = _Run(operation, time.perf_counter(), hasher.readback_bytes, hasher.leaves_hashed)
            try:
                if self._suspended:
                    raise Suspended("the guard is suspended: nothing was touched; call resume() first")
                with self._machine.entered():
                    yield run
            except GuardError as error:
                if error.outcome is not None and error.report is None:
                    error.report = self._report(run, error.outcome, (), message=str(error), **error.details())
                    self.stats.note(error.report)
                raise

    def _take_baseline(self, run: _Run) -> Report:
        self._baseline = None
        self._machine.wait_for_context()
        states = describe_all(self._source())
        ranges = self._fitting_ranges(states)
        baseline = self._measure(states, ranges)
        comparison = Comparison()
        if self._entries is not None:
            wrong = self._unlike_manifest(baseline)
            if wrong:
                baseline = self._measure(states, ranges)
                repeated = self._unlike_manifest(baseline)
                comparison.findings = [Finding(name, None, None, None) for name in repeated[:MAX_FINDINGS]]
                comparison.transient = [name for name in wrong if name not in repeated]
        report = self._conclude(run, baseline.states, comparison)
        self._baseline = baseline
        return report

    def _measure(self, states: List[TensorState], ranges: List[Range]) -> Baseline:
        self._require_unchanged(states)
        baseline = Baseline.measure(self._machine.hasher, states, ranges, self._leaves)
        self._require_unchanged(states)
        return baseline

    def _fitting_ranges(self, states: List[TensorState]) -> List[Range]:
        if self._entries is not None:
            require_same_model(self._entries, states)
        ranges = ranges_of(states)
        if len(ranges) > self._most_ranges or (self._leaves is not None and not self._leaves.arrange(ranges)):
            raise InvalidInput("the tensors outgrew the memory that this guard took: build a new guard")
        if states[0].device != self._machine.context.device:
            raise InvalidInput(f"the tensors are on cuda:{states[0].device} now: build a new guard")
        return ranges

    def _unlike_manifest(self, baseline: Baseline) -> List[str]:
        expected = {entry.name: entry.fsverity for entry in self._entries or ()}
        return [entry.name for entry in baseline.entries() if entry.fsverity != expected.get(entry.name)]

    def _require_baseline(self) -> Baseline:
        if self._baseline is None:
            raise InvalidInput("call baseline() first: there is nothing to compare with")
        return self._baseline

    def _require_unchanged(self, states: Sequence[TensorState]) -> None:
        changes = self._changes(states)
        if changes:
            raise Changed(changes)

    def _changes(self, states: Sequence[TensorState]) -> List[Change]:
        """
        Also memory that is no longer mapped under a tensor that looks the same: a launch there would end the engine's
        context.
        """
        changes = changes_since(states, self._source())
        if changes:
            return changes
        machine = self._machine
        return [Change(s.name, "is not mapped") for s in unreadable(machine.driver, machine.context.device, states)]

    def _conclude(self, run: _Run, states: Tuple[TensorState, ...], comparison: Comparison) -> Report:
        """Errors: Damaged, Transient."""
        if not comparison.findings and comparison.transient:
            raise Transient(comparison.transient)
        outcome = "damaged" if comparison.findings else "clean"
        report = self._report(
            run,
            outcome,
            states,
            damaged_blocks=comparison.damaged_blocks,
            findings=tuple(comparison.findings),
            transient=tuple(comparison.transient),
        )
        self.stats.note(report)
        if comparison.findings:
            raise Damaged(report)
        return report

    def _report(self, run: _Run, outcome: str, states: Tuple[TensorState, ...], **found: Any) -> Report:
        hasher = self._machine.hasher
        return Report(
            operation=run.operation,
            outcome=outcome,
            against="first-use" if self._entries is None else "manifest",
            device=self.device,
            tensors=len(states),
            byte_length=sum(state.byte_length for state in states),
            elapsed_ms=round((time.perf_counter() - run.started) * 1e3, 3),
            readback_bytes=hasher.readback_bytes - run.readback_bytes,
            blocks_hashed=hasher.leaves_hashed - run.leaves_hashed,
            **found,
        )


@dataclass(frozen=True)
class _Run:
    """The counters at the start of a run."""

    operation: str
    started: float
    readback_bytes: int
    leaves_hashed: int
