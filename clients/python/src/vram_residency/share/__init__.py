"""Weights that a vram-residency worker holds, mapped into this process: verified by the worker, used here, never copied."""

from .assign import assign
from .client import Client, connect
from .errors import (
    AccessRefused,
    DeviceNotVisible,
    Disconnected,
    InUse,
    ManifestMismatch,
    MpsRefused,
    Paused,
    ProtocolFailure,
    Refused,
    Revoked,
    ShareError,
    Stale,
)
from .lease import Lease
from .tensor import LentTensor

__all__ = [
    "AccessRefused",
    "Client",
    "DeviceNotVisible",
    "Disconnected",
    "InUse",
    "Lease",
    "LentTensor",
    "ManifestMismatch",
    "MpsRefused",
    "Paused",
    "ProtocolFailure",
    "Refused",
    "Revoked",
    "ShareError",
    "Stale",
    "assign",
    "connect",
]
