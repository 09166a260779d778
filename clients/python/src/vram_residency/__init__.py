"""Watches the weights of the engine that you already run: hashes CUDA tensors in place, without changes to the engine."""

from .errors import (
    Busy,
    Changed,
    Damaged,
    DriverFailure,
    Forked,
    GuardError,
    InvalidInput,
    Suspended,
    Transient,
    Unavailable,
    WrongHash,
    WrongThread,
)
from .guard import Guard
from .report import Change, Finding, Report, Stats

__version__ = "0.1.0"

__all__ = [
    "Busy",
    "Change",
    "Changed",
    "Damaged",
    "DriverFailure",
    "Finding",
    "Forked",
    "Guard",
    "GuardError",
    "InvalidInput",
    "Report",
    "Stats",
    "Suspended",
    "Transient",
    "Unavailable",
    "WrongHash",
    "WrongThread",
]
