"""The errors. Only Damaged says that weights are damaged; no other error is a verdict about their bytes."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Dict, Optional, Sequence

if TYPE_CHECKING:
    from .report import Change, Finding, Report


class GuardError(Exception):
    """
    Base of all errors of this package. `code` is stable; messages are for people. `outcome` is the word for reports of
    runs that end so, None for mistakes of the caller; such a run's `report` hangs on the error.
    """

    code: ClassVar[str] = "GUARD_ERROR"
    outcome: ClassVar[Optional[str]] = None
    report: Optional[Report] = None

    def details(self) -> Dict[str, Any]:
        """The fields that this error sets in a report."""
        return {}


class InvalidInput(GuardError, ValueError):
    """An argument, or the order of calls, is wrong. The message names it."""

    code = "INVALID_INPUT"


class Unavailable(GuardError):
    """No driver, no usable GPU, too little memory, or the GPU did not carry out the run. Nothing was verified."""

    code = "UNAVAILABLE"
    outcome = "unavailable"


class WrongHash(Unavailable):
    """The GPU hashed known bytes wrongly, or did not carry out a run. Nothing was verified."""

    code = "WRONG_HASH"


class DriverFailure(Unavailable):
    """A driver call failed: `call`, the number `result`, and the driver's `name` for it."""

    code = "DRIVER_FAILURE"

    def __init__(self, call: str, result: int, name: str, explanation: str) -> None:
        super().__init__(f"{call} returned {name}: {explanation}")
        self.call = call
        self.result = result
        self.name = name


class Busy(GuardError):
    """A CUDA graph is being captured in a stream that the guard would wait for. Nothing was touched; try again later."""

    code = "BUSY"
    outcome = "busy"


class Suspended(GuardError):
    """The guard is suspended. Nothing was touched: call resume() once the weights are back."""

    code = "SUSPENDED"
    outcome = "suspended"


class WrongThread(GuardError):
    """The call came from a thread other than the one that built the guard, and `any_thread` was not set."""

    code = "WRONG_THREAD"


class Forked(GuardError):
    """The process forked since the guard was built. CUDA does not survive a fork: build a guard in the child."""

    code = "FORKED"


class Changed(GuardError):
    """Tensors moved, grew, vanished or were written through PyTorch: `changes`. No verdict; take a new baseline."""

    code = "CHANGED"
    outcome = "changed"

    def __init__(self, changes: Sequence[Change]) -> None:
        shown = ", ".join(f"{change.tensor} {change.what}" for change in changes[:3])
        more = f", and {len(changes) - 3} more" if len(changes) > 3 else ""
        super().__init__(f"{len(changes)} of the guarded tensors changed: {shown}{more}")
        self.changes = tuple(changes)

    def details(self) -> Dict[str, Any]:
        return {"changes": self.changes}


class Transient(GuardError):
    """A mismatch that did not repeat: `tensors`. The memory, the bus or the computation failed once."""

    code = "TRANSIENT"
    outcome = "transient"

    def __init__(self, tensors: Sequence[str]) -> None:
        super().__init__(f"a mismatch of {', '.join(tensors[:3])} did not repeat when measured again")
        self.tensors = tuple(tensors)

    def details(self) -> Dict[str, Any]:
        return {"transient": self.tensors}


class Damaged(GuardError):
    """Bytes differ from the baseline, measured twice: `findings`, and the `report` that holds them."""

    code = "DAMAGED"
    outcome = "damaged"

    def __init__(self, report: Report) -> None:
        shown = "; ".join(finding.words() for finding in report.findings[:3])
        total = max(report.damaged_blocks, len(report.findings))
        more = f"; and {total - 3} more" if total > 3 else ""
        super().__init__(f"weights are damaged: {shown}{more}")
        self.report: Report = report
        self.findings: Sequence[Finding] = report.findings
