"""A guard's figures in Prometheus' text format, version 0.0.4, for the program that serves /metrics."""
from __future__ import annotations

from typing import Dict, List, Mapping, Optional

from .guard import Guard
from .report import OUTCOMES

CONTENT_TYPE = "text/plain; version=0.0.4"


def render(guard: Guard, labels: Optional[Mapping[str, str]] = None) -> str:
    """`labels`: additional labels, such as the model; `device` is always set."""
    stats = guard.stats
    common = {"device": str(guard.device["uuid"]), **(labels or {})}
    lines: List[str] = []

    def family(name: str, kind: str, help_text: str) -> None:
        lines.extend((f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"))

    def sample(name: str, value: float, more: Optional[Dict[str, str]] = None) -> None:
        lines.append(f"{name}{{{_labels({**common, **(more or {})})}}} {value!r}")

    family("vram_guard_runs_total", "counter", "Runs of the guard by outcome.")
    for outcome in OUTCOMES:
        sample("vram_guard_runs_total", stats.outcomes.get(outcome, 0), {"outcome": outcome})
    family("vram_guard_damaged_tensors", "gauge", "Tensors that the last verdict named as damaged.")
    sample("vram_guard_damaged_tensors", stats.damaged_tensors)
    family("vram_guard_last_clean_timestamp_seconds", "gauge", "Unix time of the last clean run; 0 before the first.")
    sample("vram_guard_last_clean_timestamp_seconds", stats.last_clean_at or 0)
    family("vram_guard_last_run_seconds", "gauge", "How long the last run with a verdict took.")
    sample("vram_guard_last_run_seconds", stats.last_elapsed_ms / 1e3)
    family("vram_guard_memory_bytes", "gauge", "Device, pinned and host memory that the guard holds.")
    sample("vram_guard_memory_bytes", guard.memory_bytes)
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
