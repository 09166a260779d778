"""The result of a run, for programs: one line of JSON each."""
from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any, Dict, Optional, Tuple

# Findings that a report lists at most; the number of damaged blocks is always complete.
MAX_FINDINGS = 256
OUTCOMES = ("clean", "damaged", "changed", "transient", "busy", "suspended", "unavailable")


@dataclass(frozen=True)
class Finding:
    """
    One damaged block of one tensor. `block`, `byte_offset` and `elements` (first and last) are None where no block
    hashes were kept; `elements` also where bytes cannot be determined as elements. `also`: other tensors that have these
    bytes.
    """

    tensor: str
    block: Optional[int]
    byte_offset: Optional[int]
    elements: Optional[Tuple[int, int]]
    also: Tuple[str, ...] = ()

    def words(self) -> str:
        text = self.tensor
        if self.elements is not None:
            text += f" elements {self.elements[0]} to {self.elements[1]}"
        if self.block is not None:
            text += f" (block {self.block}, byte {self.byte_offset})"
        return text + (f", shared with {', '.join(self.also[:3])}" if self.also else "")


@dataclass(frozen=True)
class Change:
    """A tensor that changed; `what` describes the change."""

    tensor: str
    what: str


@dataclass(frozen=True)
class Report:
    """
    `outcome`: clean, damaged, transient; or changed, busy, suspended, unavailable, where nothing was verified. `against`:
    first-use (the bytes as they were at baseline()) or manifest. Times in milliseconds, lengths in bytes.
    """

    operation: str
    outcome: str
    against: str
    device: Dict[str, Any]
    tensors: int
    byte_length: int
    elapsed_ms: float = 0.0
    readback_bytes: int = 0
    blocks_hashed: int = 0
    damaged_blocks: int = 0
    findings: Tuple[Finding, ...] = ()
    changes: Tuple[Change, ...] = ()
    transient: Tuple[str, ...] = ()
    message: Optional[str] = None
    at: str = field(default_factory=lambda: timestamp())

    @property
    def ok(self) -> bool:
        return self.outcome == "clean"

    def line(self) -> str:
        """One line of JSON with sorted keys, which an audit log can record as a claim of this process."""
        return json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))

    def as_dict(self) -> Dict[str, Any]:
        """Plain values."""
        return {"v": 1, "type": "guard.report", **asdict(self)}


@dataclass
class Stats:
    """Counts since the guard was built, and its last clean verification (Unix seconds; None before the first)."""

    outcomes: Dict[str, int] = field(default_factory=dict)
    last_clean_at: Optional[float] = None
    last_elapsed_ms: float = 0.0
    damaged_tensors: int = 0

    def note(self, report: Report) -> None:
        self.outcomes[report.outcome] = self.outcomes.get(report.outcome, 0) + 1
        if report.outcome == "clean":
            self.last_clean_at = time.time()
        if report.outcome in ("clean", "damaged"):
            self.last_elapsed_ms = report.elapsed_ms
            self.damaged_tensors = len({finding.tensor for finding in report.findings})


def timestamp() -> str:
    """RFC 3339, UTC, milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
