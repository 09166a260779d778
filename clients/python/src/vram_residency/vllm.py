"""
A worker extension for vLLM: `vllm serve MODEL --worker-extension-cls vram_residency.vllm.GuardExtension`. vLLM's models
live in worker processes; `collective_rpc("guard_verify")` runs these methods there, on the thread that runs the steps,
and returns one answer a worker. Written for the interface that vLLM documents (`self.model_runner.model`), and tested
against a stub of it alone.
"""
from __future__ import annotations

from typing import Any, Dict, Optional

from .errors import GuardError, InvalidInput
from .guard import Guard
from .prometheus import render


class GuardExtension:
    """Mixed into vLLM's worker class, which refuses names that it has itself: hence the prefix. Answers are plain values."""

    def guard_baseline(self, keep: str = "leaves", manifest: Optional[str] = None) -> Dict[str, Any]:
        """
        After loading, and again after each weight update. `manifest`: digests to compare with. The report: see
        `outcome`.
        """
        guard: Optional[Guard] = getattr(self, "_vram_guard", None)
        if guard is None or manifest is not None:
            if guard is not None:
                guard.close()
            model = self.model_runner.model  # type: ignore[attr-defined]
            if manifest is None:
                guard = Guard.from_module(model, keep=keep)
            else:
                guard = Guard.from_manifest(manifest, model, keep=keep)
            self._vram_guard = guard
        try:
            return guard.baseline().as_dict()
        except GuardError as error:
            if error.report is None:
                raise
            return error.report.as_dict()

    def guard_verify(self) -> Dict[str, Any]:
        """The report as a dictionary; see `outcome`."""
        return _of(self).check().as_dict()

    def guard_suspend(self) -> None:
        """Before llm.sleep() and before weights are replaced."""
        _of(self).suspend()

    def guard_resume(self) -> Dict[str, Any]:
        """After llm.wake_up(). Verifies against the same baseline: sleep level 1 brings the same bytes back."""
        _of(self).resume()
        return _of(self).check().as_dict()

    def guard_manifest(self) -> str:
        return _of(self).manifest()

    def guard_metrics(self) -> str:
        """Prometheus text of this worker."""
        return render(_of(self))


def _of(worker: Any) -> Guard:
    guard = getattr(worker, "_vram_guard", None)
    if not isinstance(guard, Guard):
        raise InvalidInput("call guard_baseline first")
    return guard
